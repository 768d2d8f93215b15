"""A run that may be killed anywhere: `python -m tests.chaos.child URL RUN TASKS [POINT COUNT]`.

POINT is where the process kills itself, at its COUNT-th passage: before or after any statement or commit of
the journal, before or after the rename of the export.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rro_sdk.inference.fleet import FleetSettings
from rro_sdk.journal import store
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task
from tests.toys import ToyEnv

POINTS = (
    "statement.before",
    "statement.after",
    "commit.before",
    "commit.after",
    "rename.before",
    "rename.after",
)
METHOD = RisingReward(rollouts=3, max_candidates=3)
CONCURRENCY = 12


def tasks(count: int) -> list[Task]:
    return [Task(f"t{number:03}", "solve it", {"number": number}) for number in range(count)]


def reply(messages: object, seed: int | None, index: int) -> str:
    """Two turns in three go on; the others end with 0, 0.5 or 1."""
    drawn = seed or 0
    return f"Action: go {drawn % 5}" if drawn % 3 else f"Action: end {drawn // 3 % 3 / 2}"


class Fuse:
    """Kills this process at the n-th passage of one point."""

    def __init__(self, point: str, count: int) -> None:
        self._point, self._count = point, count
        self._passed: Counter[str] = Counter()

    def passes(self, point: str) -> None:
        self._passed[point] += 1
        if point == self._point and self._passed[point] == self._count:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """A connection whose writes pass the fuse."""

    def __init__(self, connection: sqlite3.Connection, fuse: Fuse) -> None:
        self._connection, self._fuse = connection, fuse

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        kind = "commit" if statement == "COMMIT" else "statement"
        self._fuse.passes(f"{kind}.before")
        found = self._connection.execute(statement, *values)
        self._fuse.passes(f"{kind}.after")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def arm(fuse: Fuse) -> None:
    connect, rename = store._connect, Path.replace
    store._connect = lambda path, mode: Watched(connect(path, mode), fuse)  # type: ignore[assignment,return-value]

    def replace(self: Path, target: Any) -> Path:
        fuse.passes("rename.before")
        found = rename(self, target)
        fuse.passes("rename.after")
        return found

    Path.replace = replace  # type: ignore[method-assign]


async def main(url: str, run: str, count: str) -> None:
    fleet = FleetSettings(concurrency=CONCURRENCY)
    async with Sampler(
        ToyEnv(), servers=[url], method=METHOD, run_dir=run, fleet=fleet, tasks_in_flight=4, resume=True
    ) as sampler:
        async for _ in sampler.events(tasks(int(count))):
            pass


if __name__ == "__main__":
    if len(sys.argv) > 4:
        arm(Fuse(sys.argv[4], int(sys.argv[5])))
    asyncio.run(main(*sys.argv[1:4]))
