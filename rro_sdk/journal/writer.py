"""Feeds a journal from an event loop: rows of one moment are committed together, in a thread of their own.

A commit can wait for a disk; the loop must not. While one batch is being written the next gathers, so the
cost per row falls as the load rises.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from rro_sdk.errors import JournalError
from rro_sdk.journal.rows import Row
from rro_sdk.journal.store import Journal


class JournalWriter:
    """The one way into a journal that is being written, from `async with` to its end.

    Args:
        journal: made or resumed; its owner closes it, after the writer's end.

    Attributes:
        duplicates: rows that were recorded already, and left as they were.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.duplicates = 0
        self._rows: list[Row] = []
        self._some = asyncio.Event()
        self._gathered = self._writing = _done()
        self._failure: JournalError | None = None
        self._closing = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rro-journal")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit what is left.

        Raises:
            JournalError: it could not be written, unless something else went wrong before.
        """
        self._closing = True
        self._some.set()
        try:
            if self._task is not None:
                await self._task
        finally:
            self._thread.shutdown()
        if self._failure is not None and error is None:
            raise self._failure

    def put(self, row: Row) -> None:
        """Hand over a row; it is committed soon, in the order of the calls.

        Raises:
            JournalError: an earlier one could not be written.
        """
        if self._failure is not None:
            raise self._failure
        if not self._rows:
            self._gathered = asyncio.get_running_loop().create_future()
        self._rows.append(row)
        self._some.set()

    async def committed(self) -> None:
        """Wait until everything that was put is committed.

        Raises:
            JournalError: it could not be written.
        """
        if self._failure is not None:
            raise self._failure
        # Many wait for one batch: none may cancel it for the others.
        await asyncio.shield(self._gathered if self._rows else self._writing)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            self._some.clear()
            if not self._rows:
                if self._closing:
                    return
                continue
            rows, self._rows = self._rows, []
            self._writing = self._gathered
            try:
                self.duplicates += await loop.run_in_executor(self._thread, self.journal.write, rows)
            except (JournalError, OverflowError, UnicodeError) as problem:
                error = self._failure = (
                    problem
                    if isinstance(problem, JournalError)
                    else JournalError(
                        f"cannot write to {self.journal.path}: a record holds what SQLite cannot"
                        f" ({type(problem).__name__})"
                    )
                )
                for future in {self._writing, self._gathered}:
                    future.set_exception(error)
                    future.exception()  # it may be that nobody waits
                return
            self._writing.set_result(None)
            if self._closing:
                self._some.set()


def _done() -> asyncio.Future[None]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
