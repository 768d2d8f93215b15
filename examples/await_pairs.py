"""Await preference pairs inside an application.

rro serve --model models/smollm2            # in another terminal; prints a URL
python examples/await_pairs.py http://127.0.0.1:30000
"""

from __future__ import annotations

import asyncio
import sys

import rro_sdk as rro
from rro_sdk.envs.intercode_sql import InterCodeSQL, load_tasks


async def main(servers: list[str]) -> None:
    tasks = load_tasks()[:8]
    async with (
        InterCodeSQL(show_schema=True) as env,
        rro.Sampler(
            env,
            servers=servers,
            method=rro.RisingReward(rollouts=3, max_candidates=4),
            run_dir="runs/first",
        ) as sampler,
    ):
        async for pair in sampler.pairs(tasks):
            print(f"{pair.id}: {pair.chosen_reward:.2f} against {pair.rejected_reward:.2f}")
        summary = sampler.summary()
    print(f"{summary.pairs} pairs from {summary.rollouts} rollouts, kept in runs/first")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["http://127.0.0.1:30000"]))
