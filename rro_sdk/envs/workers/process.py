"""One worker process: started when it is first needed, one call at a time, replaced when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections import OrderedDict
from pathlib import Path

import msgspec

from rro_sdk.envs.replay import SessionLost
from rro_sdk.envs.workers.wire import HEADER, Begin, Reply, Request, packed
from rro_sdk.errors import DataError, EnvironmentFault
from rro_sdk.types import Task

_numbers = itertools.count(1)


class Worker:
    """A worker and the sessions in it.

    Args:
        begin: the world to build.
        start_s: longest time in which the process starts and builds its world.
        call_s: longest time of one call; the process is killed after it.
        most: sessions that it holds, beside those that are just being used; the one idle longest makes room.
        log: where the world's output goes; nowhere by default.
    """

    def __init__(self, begin: Begin, *, start_s: float, call_s: float, most: int, log: Path | None) -> None:
        self._begin = begin
        self._start_s = start_s
        self._call_s = call_s
        self._most = most
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._calls: set[asyncio.Task[Reply]] = set()
        self._sessions: OrderedDict[int, None] = OrderedDict()
        self._pinned: set[int] = set()
        self._closed = False

    @property
    def target(self) -> str:
        return self._begin.target

    @property
    def load(self) -> tuple[int, int]:
        """Calls that wait or run, and sessions."""
        return len(self._calls), len(self._sessions)

    def holds(self, session: int) -> bool:
        return session in self._sessions

    def pin(self, session: int, *, pinned: bool) -> None:
        """A pinned session makes no room for another."""
        if pinned:
            self._pinned.add(session)
        else:
            self._pinned.discard(session)

    async def open(self, task: Task) -> tuple[int, Reply]:
        """Begin a session: its number and the reply.

        Raises:
            DataError: the task lacks what the world needs.
            EnvironmentFault: the world broke, hung or could not be built.
        """
        session = next(_numbers)
        try:
            reply = await self.call(Request("open", session, task))
        except asyncio.CancelledError:
            self.forget(session)
            raise
        return session, reply

    async def call(self, request: Request) -> Reply:
        """Ask for something. A call whose caller gives up runs on to its end, and nobody hears its answer.

        Raises:
            DataError: the task is to blame.
            SessionLost: the session is gone, and the request was not run.
            EnvironmentFault: the world broke, died or hung.
        """
        if self._closed:
            raise EnvironmentFault("the environment is closed")
        running = asyncio.ensure_future(self._call(request))
        self._calls.add(running)
        running.add_done_callback(self._done)
        try:
            reply = await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():  # by `close` alone: the caller's own end does not reach it
                raise EnvironmentFault("the environment was closed during a call") from None
            raise
        if reply.lost:
            raise SessionLost("the game was dropped by its worker")
        if reply.error is not None:
            raise (DataError if reply.data else EnvironmentFault)(reply.error)
        return reply

    def forget(self, session: int) -> None:
        """End a session without waiting for it."""
        self._sessions.pop(session, None)
        self._pinned.discard(session)
        if self._process is not None and not self._closed:
            running = asyncio.ensure_future(self._call(Request("close", session)))
            self._calls.add(running)
            running.add_done_callback(self._done)

    async def close(self) -> None:
        """End the process and all that it has started."""
        self._closed = True
        running = list(self._calls)
        for each in running:
            each.cancel()
        if running:
            await asyncio.wait(running)
        await self._kill()

    def _done(self, running: asyncio.Task[Reply]) -> None:
        self._calls.discard(running)
        if not running.cancelled():
            running.exception()  # heard by the caller, if there still is one

    async def _call(self, request: Request) -> Reply:
        async with self._turn:
            if request.operation == "close" and self._process is None:
                return Reply()
            if request.operation == "step" and request.session not in self._sessions:
                return Reply(lost=True)
            limit_s = self._start_s
            try:
                async with asyncio.timeout(limit_s):
                    process = await self._started()
                limit_s = self._call_s
                async with asyncio.timeout(limit_s):
                    if request.operation == "open":
                        await self._make_room(process)
                    reply = await _exchange(process, request)
            except TimeoutError:
                await self._kill()
                return Reply(error=f"the world did not answer within {limit_s:g} s")
            except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError, msgspec.DecodeError):
                code = await self._kill()
                return Reply(error=f"the world's process ended by itself (exit status {code})")
            except asyncio.CancelledError:
                await self._kill()  # half-way through a message
                raise
            if reply.error is None and request.operation != "close":
                self._sessions[request.session] = None
                self._sessions.move_to_end(request.session)
            return reply

    async def _make_room(self, process: asyncio.subprocess.Process) -> None:
        while len(self._sessions) >= self._most:
            idle = next((each for each in self._sessions if each not in self._pinned), None)
            if idle is None:
                return
            del self._sessions[idle]
            await _exchange(process, Request("close", idle))

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None:
            return self._process
        with contextlib.ExitStack() as files:
            output = files.enter_context(self._log.open("ab")) if self._log else asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rro_sdk.envs.workers.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
        reply = await _exchange(self._process, self._begin)
        if reply.error is not None:
            await self._kill()
            raise EnvironmentFault(f"{self._begin.target} cannot be built: {reply.error}")
        return self._process

    async def _kill(self) -> int | None:
        """End the process group; its sessions are gone."""
        self._sessions.clear()
        process, self._process = self._process, None
        if process is None:
            return None
        code = process.returncode
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return code if code is not None else process.returncode


async def _exchange(process: asyncio.subprocess.Process, message: Begin | Request) -> Reply:
    if process.stdin is None or process.stdout is None:
        raise BrokenPipeError
    process.stdin.write(packed(message))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(HEADER), "big")
    return msgspec.msgpack.decode(await process.stdout.readexactly(length), type=Reply)
