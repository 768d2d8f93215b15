"""An event loop whose time passes only while everybody waits, and then at once.

When nothing is ready to run, the clock jumps to the next timer. Work in a thread holds it where it is, so
that a query which takes real milliseconds takes no virtual time, and is never overtaken by a deadline.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REAL_LIMIT_S = 60.0
"""Longest real wait for work in threads before the loop looks again; nothing depends on its value."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`asyncio.Runner(loop_factory=VirtualLoop)`. Same program, same order of events, same times.

    What holds the clock is work given to `run_in_executor` (and so `asyncio.to_thread`). A socket that is
    waited for does not: simulate the peer instead.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._in_threads = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **settings: Any) -> None:
        self._in_threads += 1  # it waits for its threads in one of its own
        try:
            await super().shutdown_default_executor(*args, **settings)
        finally:
            self._in_threads -= 1

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        self._in_threads -= 1

    def wait_s(self, timeout: float | None) -> float:
        """How long to wait for real events; jumps ahead instead where that is right."""
        if self._in_threads:
            return REAL_LIMIT_S
        if timeout is None:
            raise RuntimeError(
                "the simulation stands still: everything waits and no timer is set; "
                "something waits for an event that nobody will bring"
            )
        self._virtual_s += timeout
        return 0.0


class _Jumping(selectors.DefaultSelector):
    """Asks for real events without waiting, and leaves the waiting to the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return []  # something is ready to run: threads and signals get their turn when nothing is
        return super().select(0) or super().select(self._loop.wait_s(timeout))
