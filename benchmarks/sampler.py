"""`python -m benchmarks.sampler`: the rising rule at full concurrency, one request at a time, and in a pool.

All three run the same rule on the same tasks and seeds against one server of 64 slots, a fake one in another
process with the speed of a profile of `servers.simulated`; a difference in the pairs is an error.

- *sdk*: `Sampler(env, servers=[url])` as it is: it finds the server's limit by itself.
- *one at a time*: one task, one request in flight. It takes minutes, and its time is proportional to its
  requests, so it runs every eighth task and its wall time is scaled by the number of completions.
- *pool*: blocking workers, each with one task and one request in flight, as in IPR's published pipeline
  (arXiv 2406.11176): 16 sampling workers times 5 samples over 8 model servers, which is 10 for each server.
  Ours are coroutines, without the cost of processes, so the pool is faster here than there.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import rro_sdk as rro
from benchmarks._harness import Metric, at_least, finish, median_and_spread, ratios
from benchmarks._moves_server import PROFILE, moves_server
from benchmarks._simulated import Moves, tasks
from rro_sdk.inference.fleet import Fleet
from rro_sdk.policy import Proposal
from rro_sdk.types import Message

SLOTS = 64
POOL = 10
EVERY = 8


class OneEach(rro.ReActPolicy):
    """At most one request in flight for each task, as a worker that blocks on its client has."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._locks: dict[str, asyncio.Lock] = {}

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        async with self._locks.setdefault(affinity, asyncio.Lock()):
            return await super().act(messages, seed=seed, affinity=affinity)


@dataclass(frozen=True)
class Run:
    """Wall seconds, completions, and the pairs by task and step."""

    wall_s: float
    completions: int
    pairs: dict[tuple[str, int], tuple[str, str]]

    @property
    def pace(self) -> float:
        """Seconds per completion."""
        return self.wall_s / self.completions


async def run(url: str, work: Sequence[rro.Task], workers: int | None) -> Run:
    """One run; `workers` blocking ones, or the sampler as it is if None."""
    pairs = {}
    async with Fleet([url]) as fleet:
        sampler = (
            rro.Sampler(Moves(), servers=[url])
            if workers is None
            else rro.Sampler(Moves(), policy=OneEach(fleet), tasks_in_flight=workers)
        )
        began = time.monotonic()
        async with sampler:
            async for pair in sampler.pairs(work):
                pairs[pair.task_id, pair.step] = (pair.chosen, pair.rejected)
        return Run(time.monotonic() - began, sampler.summary().turns, pairs)


async def measure(url: str, count: int, rounds: int) -> tuple[list[Run], list[Run], list[Run]]:
    work = tasks(count)
    sdk, pool, single = [], [], []
    await run(url, tasks(4), None)  # warms connections and code
    for _ in range(rounds):
        sdk.append(await run(url, work, None))
        pool.append(await run(url, work, POOL))
        single.append(await run(url, work[::EVERY], 1))
    return sdk, pool, single


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler")
    parser.add_argument("--tasks", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    got = parser.parse_args(argv)
    with moves_server(SLOTS) as url:
        sdk, pool, single = asyncio.run(measure(url, got.tasks, got.rounds))
    subset = {task.id for task in tasks(got.tasks)[::EVERY]}
    for one, many, alone in zip(sdk, pool, single, strict=True):
        if one.pairs != many.pairs or alone.pairs != {k: v for k, v in one.pairs.items() if k[0] in subset}:
            raise AssertionError("the three ways gave different pairs")
    over_single = ratios([r.pace for r in single], [r.pace for r in sdk])
    over_pool = ratios([r.wall_s for r in pool], [r.wall_s for r in sdk])
    single_x, single_spread = median_and_spread(over_single)
    pool_x, pool_spread = median_and_spread(over_pool)
    wall, wall_spread = median_and_spread([r.wall_s for r in sdk])
    metrics = [
        at_least("one at a time over sdk", single_x, "x", 20, spread=single_spread),
        at_least("pool over sdk", pool_x, "x", 3, spread=pool_spread),
        Metric("sdk wall", wall, "s", spread=wall_spread),
        Metric("completions", sdk[0].completions),
        Metric("completions per second, sdk", sdk[0].completions / wall, "1/s"),
        Metric("pairs, the same in all three", len(sdk[0].pairs)),
    ]
    return finish(
        "sampler",
        metrics,
        f"{single_x:.1f}x one request at a time, {pool_x:.1f}x a pool of {POOL} blocking workers",
        settings={"slots": SLOTS, "pool": POOL, "profile": PROFILE, **vars(got)},
    )


if __name__ == "__main__":
    sys.exit(main())
