"""A second process that continues paused servers if this one dies before it can.

    async with Watchdog(calls, key=admin_api_key):
        ...  # pause, update, continue

What it runs is `_watchdog.py`. It has a session of its own, so that neither ^C nor a kill of this process's
group takes it too.
"""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rro_sdk.errors import ReloadError
from rro_sdk.inference.engines import Call

SCRIPT = Path(__file__).with_name("_watchdog.py")

START_LIMIT_S = 30.0
"""An interpreter without imports is up in some 30 ms; a machine that swaps takes seconds."""

END_LIMIT_S = 10.0

PATIENCE_S = 120.0
"""How long it goes on calling. A server may be loading weights; one that restarted is not paused at all."""


class Watchdog:
    """Makes `calls` if this process ends inside the `async with` block.

    Args:
        calls: what continues the servers.
        key: bearer token of those calls; it goes through a pipe and never on a command line.
    """

    def __init__(self, calls: Sequence[Call], *, key: str | None) -> None:
        told = {"parent": os.getpid(), "key": key, "calls": calls, "patience_s": PATIENCE_S}
        self._told = msgspec.json.encode(told) + b"\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._stand_down = True

    def take_over(self) -> None:
        """Have it make the calls, and again until they are answered, when the block is left."""
        self._stand_down = False

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])  # a thread cannot be cancelled; what it started must not stay
            await asyncio.to_thread(self._end)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self._end))

    def _start(self) -> None:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise _no_watchdog(error.strerror or type(error).__name__) from None
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(self._told)
            process.stdin.flush()
        except OSError as error:
            self._end()
            raise _no_watchdog(error.strerror or type(error).__name__) from None
        up, _, _ = select.select([process.stdout], [], [], START_LIMIT_S)
        if not up or process.stdout.readline() != b"ready\n":
            self._end()
            raise _no_watchdog(f"it was not up within {START_LIMIT_S:g} s")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        try:
            if self._stand_down:
                process.stdin.write(b"done\n")
            process.stdin.close()
        except OSError:  # it is gone already
            return
        if self._stand_down:
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _no_watchdog(why: str) -> ReloadError:
    return ReloadError(f"no server was touched: the watchdog of paused servers did not start ({why})")
