"""What the process holds, and whether its event loop moves on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

TICK_S = 0.005


@asynccontextmanager
async def longest_pause() -> AsyncIterator[list[float]]:
    """Gives a list that holds, after the block, the longest time for which the event loop stood still."""
    measured: list[float] = []
    loop = asyncio.get_running_loop()
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        last = loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            longest, last = max(longest, now - last), now

    ticking = asyncio.ensure_future(tick())
    try:
        await asyncio.sleep(0)
        yield measured
        await asyncio.sleep(2 * TICK_S)
    finally:
        ticking.cancel()
        await asyncio.wait({ticking})
        measured.append(longest)


@dataclass(frozen=True, slots=True)
class Standing:
    """What runs at one moment beside the caller: its tasks and child processes."""

    tasks: frozenset[asyncio.Task[object]]
    children: frozenset[str]

    async def strays(self, limit_s: float) -> str | None:
        """What still runs of all that was started since, after a fair time to end; None for nothing."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while True:
            tasks = asyncio.all_tasks() - self.tasks - {asyncio.current_task()}
            children = _children() - self.children
            if not tasks and not children:
                return None
            if loop.time() > deadline:
                return f"{len(children)} child processes and {len(tasks)} tasks"
            await asyncio.sleep(0.05)


def standing() -> Standing:
    return Standing(frozenset(asyncio.all_tasks()), frozenset(_children()))


def held() -> dict[str, int]:
    """What this process holds; what the system does not tell counts as none."""
    return {
        "open files": _count(Path("/proc/self/fd")),
        "threads": threading.active_count(),
        "child processes": len(_children()),
        "asyncio tasks": len(asyncio.all_tasks()),
    }


def _count(folder: Path) -> int:
    try:
        return len(list(folder.iterdir()))
    except OSError:
        return 0


def _children() -> set[str]:
    found: set[str] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(listed.read_text().split())
        except OSError:  # the thread has ended
            continue
    return found
