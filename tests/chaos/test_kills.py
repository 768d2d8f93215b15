"""`kill -9` at any instant loses nothing that was recorded. `make chaos` does the same for longer."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.harness import Chaos


async def test_killed_anywhere_and_resumed_the_run_is_the_same(tmp_path: Path) -> None:
    async with Chaos(tmp_path, count=8, seed=0) as chaos:
        await chaos.one_run(chaos.named_points())
        for _ in range(4):
            await chaos.one_run(chaos.random_points(4))
        print(chaos.report)
    assert sum(chaos.report.kills.values()) >= 10
