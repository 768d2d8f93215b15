"""CPU time of the client process per completion, the SDK's path beside other clients.

    python -m benchmarks.client

A stub server in another process answers at once, so the client is what is measured: `time.process_time` over
a batch of completions, n = 1, closed loop at a fixed concurrency, connections warm. The ways to ask take
turns within every round, so that what the machine does meanwhile falls on all of them. A batch is counted
only if every reply's text is the stub's.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from benchmarks import _clients
from benchmarks._clients import Call, Way
from benchmarks._harness import Metric, at_least, at_most, finish, median_and_spread, ratios
from benchmarks._stub import REPLY_TEXT, stub_server

CPU_BAR_MS = 0.35
FLAT_BAR = 1.25
"""Highest over lowest of the medians at each concurrency: what "flat in concurrency" is taken to mean."""
OPENAI_BAR = 6.0
AIOHTTP_BAR = 2.5

SDK, AIOHTTP, OPENAI = "SDK path", "bare aiohttp", "openai"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to ask. Quick ones get large batches in every round, the others small ones in every second."""

    name: str
    way: Way
    quick: bool = False

    def batch(self, concurrency: int) -> int:
        """Completions of one batch: whole waves of `concurrency`."""
        return max(4000, 4 * concurrency) if self.quick else max(400, concurrency)


@dataclass(slots=True)
class Cost:
    """What one contender's batches at one concurrency cost, in ms of CPU per completion, by round."""

    by_round: dict[int, float] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)

    def in_rounds(self, rounds: Sequence[int]) -> list[float]:
        return [self.by_round[number] for number in rounds]


def contenders() -> list[Contender]:
    found = [
        Contender(SDK, _clients.sdk, quick=True),
        Contender(AIOHTTP, _clients.bare_aiohttp, quick=True),
        Contender("httpx2", _clients.one_httpx2),
        Contender(f"httpx2, {_clients.SHARD} connections a client", _clients.sharded_httpx2),
        Contender(OPENAI, _clients.openai_default),
        Contender("openai on aiohttp", _clients.openai_aiohttp),
    ]
    if _clients.installed("httpx"):
        found.insert(4, Contender("httpx", _clients.one_httpx))
    return found


async def run_batch(call: Call, count: int, concurrency: int) -> None:
    """`count` completions, `concurrency` at a time.

    Raises:
        RuntimeError: a reply that is not the stub's.
    """
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            if await call(number) != REPLY_TEXT:
                raise RuntimeError("a reply is not what the stub server sends")

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, count)):
            group.create_task(worker())


async def cost(contender: Contender, url: str, concurrency: int) -> tuple[float, float]:
    """CPU in ms per completion, and the share of the wall time in which the client's core was busy."""
    count = contender.batch(concurrency)
    async with contender.way(url, concurrency) as call:
        await run_batch(call, concurrency, concurrency)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        await run_batch(call, count, concurrency)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu * 1000.0 / count, cpu / wall


def measure(found: Sequence[Contender], levels: Sequence[int], rounds: int) -> dict[tuple[str, int], Cost]:
    costs = {(each.name, level): Cost() for each in found for level in levels}
    with stub_server() as url:
        for number, level, each in itertools.product(range(rounds), levels, found):
            if not each.quick and number % 2:
                continue
            spent, busy = asyncio.run(cost(each, url, level))
            costs[each.name, level].by_round[number] = spent
            costs[each.name, level].busy.append(busy)
            print(f"round {number + 1}/{rounds} {each.name} at {level}: {spent:.3f} ms", file=sys.stderr)
    return costs


def metrics_of(costs: dict[tuple[str, int], Cost], levels: Sequence[int]) -> list[Metric]:
    """Every contender's cost, then the ratios, each taken within its round."""
    found: list[Metric] = []
    for (name, level), each in costs.items():
        value, spread = median_and_spread(list(each.by_round.values()))
        title = f"CPU per completion, {name}, concurrency {level}"
        found.append(
            at_most(title, value, "ms", CPU_BAR_MS, spread=spread)
            if name == SDK
            else Metric(title, value, "ms", spread=spread)
        )
    for level in levels:
        ours = costs[SDK, level]
        for name, bar in ((OPENAI, OPENAI_BAR), (AIOHTTP, AIOHTTP_BAR)):
            theirs = costs[name, level]
            rounds = sorted(ours.by_round.keys() & theirs.by_round.keys())
            pair = ours.in_rounds(rounds), theirs.in_rounds(rounds)
            if name == OPENAI:
                value, spread = median_and_spread(ratios(pair[1], pair[0]))
                title = f"{name} over {SDK}, concurrency {level}"
                found.append(at_least(title, value, "", bar, spread=spread))
            else:
                value, spread = median_and_spread(ratios(pair[0], pair[1]))
                title = f"{SDK} over {name}, concurrency {level}"
                found.append(at_most(title, value, "", bar, spread=spread))
    medians = [median_and_spread(list(costs[SDK, level].by_round.values()))[0] for level in levels]
    found.append(
        at_most(f"{SDK}, highest over lowest concurrency's median", max(medians) / min(medians), "", FLAT_BAR)
    )
    busy, spread = median_and_spread([share for level in levels for share in costs[SDK, level].busy])
    found.append(
        Metric(
            f"share of wall time in which the client's core was busy, {SDK}",
            busy,
            spread=spread,
            note="near 1: the client was the bound, not the stub server",
        )
    )
    return found


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--concurrency", default="64,256,1024", show_default=True, help="comma-separated")
def main(rounds: int, concurrency: str) -> None:
    levels = [int(part) for part in concurrency.split(",")]
    costs = measure(contenders(), levels, rounds)
    metrics = metrics_of(costs, levels)
    told = ", ".join(
        f"{median_and_spread(list(costs[SDK, n].by_round.values()))[0]:.3f} at {n}" for n in levels
    )
    code = finish(
        "client",
        metrics,
        f"CPU-ms per completion on the SDK's path: {told}",
        settings={
            "rounds": rounds,
            "concurrency": levels,
            "batches": {each.name: [each.batch(level) for level in levels] for each in contenders()},
        },
        packages=("openai", "httpx2", "httpx", "tenacity", "pydantic"),
    )
    raise SystemExit(code)


if __name__ == "__main__":
    main()
