"""What the pages take for granted: a run, servers that answer, an environment with its tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rro_sdk as rro
from rro_sdk.testing import TreeEnv, TreePolicy, TreeSettings, tree_tasks

TREES = TreeSettings(depth=3, branching=4)
METHOD = rro.RisingReward(on_first_rise="second")


def given(urls: Sequence[str]) -> dict[str, Any]:
    """The names that a page may use without making them: an environment, tasks, servers."""
    return {"env": TreeEnv(TREES), "tasks": tree_tasks(4), "urls": list(urls)}


def make_run(folder: Path) -> str:
    """A finished run with pairs; returns the id of one."""

    async def run() -> list[rro.PreferencePair]:
        policy = TreePolicy(TREES)
        async with rro.Sampler(TreeEnv(TREES), policy=policy, method=METHOD, run_dir=folder) as sampler:
            return [pair async for pair in sampler.pairs(tree_tasks(20))]

    return asyncio.run(run())[0].id
