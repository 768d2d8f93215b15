"""Writes a sampler's status into its run's folder once a second, for `rro watch` and whoever else looks.

The file is replaced whole, so that a reader never sees half of one. It is not flushed to disk: after a
power cut it is worth nothing. Writing it is done in a thread, and a disk that cannot take it is none of the
sampler's business.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from rro_sdk._concurrency import to_the_end
from rro_sdk.inference.slot import ServerStatus
from rro_sdk.live.status import STATUS_NAME, TELL_S, Ended, SamplerStatus, ServerLoad
from rro_sdk.types import Usage

PACE_S = 10.0
"""Tokens a second are those of so many last seconds: replies come whole, and a slow server's come seldom."""


class Doing(msgspec.Struct, frozen=True):
    """What a sampler says of itself; see `SamplerStatus` for the names."""

    running: int
    given: int | None
    closed_before: int
    tokens_before: Usage
    usage: Usage
    weight_version: str
    servers: tuple[ServerStatus, ...]


class Publisher:
    """Tells how a sampler does, from `start` to `stop`.

    Args:
        run_dir: the run's folder, which is there.
        doing: asked in the event loop, once a second; must not block.
    """

    def __init__(self, run_dir: Path, doing: Callable[[], Doing]) -> None:
        self._path = run_dir / STATUS_NAME
        self._doing = doing
        self._began = time.monotonic()
        self._seen: deque[tuple[float, list[int]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self, ended: Ended) -> None:
        """Tell for the last time how it ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        _replace(self._path, msgspec.json.encode(self.status(ended)))

    async def _run(self) -> None:
        while True:
            content = msgspec.json.encode(self.status())
            await to_the_end(asyncio.to_thread(_replace, self._path, content))  # or it may follow the last
            await asyncio.sleep(TELL_S)

    def status(self, ended: Ended | None = None) -> SamplerStatus:
        """The sampler now."""
        doing, now = self._doing(), time.monotonic()
        generated = [doing.usage.completion_tokens, *(each.usage.completion_tokens for each in doing.servers)]
        whole, *paces = self._paces(now, generated)
        return SamplerStatus(
            pid=os.getpid(),
            host=platform.node(),
            at=time.time(),
            elapsed_s=now - self._began,
            running=doing.running,
            given=doing.given,
            closed_before=doing.closed_before,
            tokens_before=doing.tokens_before,
            usage=doing.usage,
            generated_per_s=whole,
            weight_version=doing.weight_version,
            servers=tuple(
                ServerLoad(**msgspec.structs.asdict(server), generated_per_s=pace)
                for server, pace in zip(doing.servers, paces, strict=True)
            ),
            ended=ended,
        )

    def _paces(self, now: float, generated: Sequence[int]) -> list[float]:
        self._seen.append((now, list(generated)))
        while len(self._seen) > 2 and now - self._seen[1][0] >= PACE_S:
            self._seen.popleft()
        before, then = self._seen[0]
        passed = now - before
        return [
            (count - earlier) / passed if passed > 0 else 0.0
            for count, earlier in zip(generated, then, strict=True)
        ]


def _replace(path: Path, content: bytes) -> None:
    # One writer a run, by its lock: the temporary name need not be its own.
    temporary = path.with_name(f".{path.name}.tmp")
    with suppress(OSError):
        temporary.write_bytes(content)
        temporary.replace(path)
