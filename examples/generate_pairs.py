"""A generator script against running servers: tasks in, one JSON row per pair on standard output.

    python examples/generate_pairs.py http://127.0.0.1:30000 http://127.0.0.1:30001 > pairs.jsonl

Progress goes to standard error, so the rows can be piped. Stop it at any time: what was printed is whole.
"""

from __future__ import annotations

import asyncio
import json
import sys

import rro_sdk as rro
from rro_sdk.envs.intercode_sql import InterCodeSQL, load_tasks
from rro_sdk.export import to_row


async def main(servers: list[str]) -> None:
    tasks = load_tasks()[:16]
    method = rro.RisingReward(rollouts=3, max_candidates=4, on_first_rise="second")
    async with (
        InterCodeSQL(show_schema=True) as env,
        rro.Sampler(env, servers=servers, method=method) as sampler,
    ):
        async for pair in sampler.pairs(tasks):
            print(json.dumps(to_row(pair)), flush=True)
            print(f"{sampler.stats.pairs} pairs, {sampler.stats.rollouts} rollouts", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["http://127.0.0.1:30000"]))
