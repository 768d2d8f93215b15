"""CPU time of the client process per completion, the SDK's path beside other clients.

    python -m benchmarks.client

A stub server in another process answers at once, so the client is what is measured: `time.process_time` over
a batch of completions, n = 1, closed loop at a fixed concurrency, connections warm. The ways to ask take
turns within every round, so that what the machine does meanwhile falls on all of them. A batch is counted
only if every reply's text is the stub's. Python's collector has the thresholds that `rro` itself runs with
(rro_sdk/collector.py), for every way alike; two ways are measured with Python's own thresholds too.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import click

from benchmarks import _clients
from benchmarks._clients import Call, Way
from benchmarks._harness import Metric, at_least, at_most, finish, median_and_spread, ratios
from benchmarks._stub import REPLY_TEXT, stub_server
from rro_sdk.collector import NEW_OBJECTS, fewer_collections

CPU_BAR_MS = 0.35
FLAT_BAR = 1.25
"""Highest over lowest of the medians at each concurrency: what "flat in concurrency" is taken to mean."""
OPENAI_BAR = 6.0
AIOHTTP_BAR = 2.5

SDK, AIOHTTP, OPENAI = "SDK path", "bare aiohttp", "openai"
RARELY = 100
"""One pool of httpx or httpx2 costs some 10 ms at 1,024 connections: its order of size is enough."""
UNTUNED = ", collector as Python sets it"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to ask.

    Attributes:
        name: what the figures call it.
        way: opens it.
        every: it takes part in every so many rounds; those that cost milliseconds would fill minutes.
        tuned: whether the collector has rro's thresholds, not Python's.
    """

    name: str
    way: Way
    every: int = 1
    tuned: bool = True

    def batch(self, concurrency: int) -> int:
        """Completions of one batch: whole waves of `concurrency`."""
        return max(4000, 4 * concurrency) if self.every == 1 else max(400, concurrency)


@dataclass(slots=True)
class Cost:
    """What one contender's batches at one concurrency cost, in ms of CPU per completion, by round."""

    by_round: dict[int, float] = field(default_factory=dict)
    busy: list[float] = field(default_factory=list)


Costs = dict[tuple[str, int], Cost]
"""By contender and concurrency."""


def contenders() -> list[Contender]:
    found = [
        Contender(SDK, _clients.sdk),
        Contender(AIOHTTP, _clients.bare_aiohttp),
        Contender(SDK + UNTUNED, _clients.sdk, tuned=False),
        Contender(AIOHTTP + UNTUNED, _clients.bare_aiohttp, tuned=False),
        Contender("httpx2", _clients.one_httpx2, every=RARELY),
        Contender(f"httpx2, {_clients.SHARD} connections a client", _clients.sharded_httpx2, every=2),
        Contender(OPENAI, _clients.openai_default, every=2),
        Contender("openai on aiohttp", _clients.openai_aiohttp, every=2),
    ]
    if _clients.installed("httpx"):
        found.append(Contender("httpx", _clients.one_httpx, every=RARELY))
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


def measure(found: Sequence[Contender], levels: Sequence[int], rounds: int) -> Costs:
    costs = {(each.name, level): Cost() for each in found for level in levels}
    with stub_server() as url:
        for number, level, each in itertools.product(range(rounds), levels, found):
            if number % each.every:
                continue
            with fewer_collections() if each.tuned else nullcontext():
                spent, busy = asyncio.run(cost(each, url, level))
            costs[each.name, level].by_round[number] = spent
            costs[each.name, level].busy.append(busy)
            print(f"round {number + 1}/{rounds} {each.name} at {level}: {spent:.3f} ms", file=sys.stderr)
    return costs


def metrics_of(costs: Costs, levels: Sequence[int]) -> list[Metric]:
    """Every contender's CPU per completion, then the ratios, each taken within its round."""
    found: list[Metric] = []
    for (name, level), each in costs.items():
        value, spread = median_and_spread(list(each.by_round.values()))
        title = f"{name}, concurrency {level}"
        found.append(
            at_most(title, value, "CPU-ms", CPU_BAR_MS, spread=spread)
            if name == SDK
            else Metric(title, value, "CPU-ms", spread=spread)
        )
    for level in levels:
        value, spread = _ratio(costs, OPENAI, SDK, level)
        title = f"{OPENAI} over {SDK}, concurrency {level}"
        found.append(at_least(title, value, "", OPENAI_BAR, spread=spread))
        value, spread = _ratio(costs, SDK, AIOHTTP, level)
        title = f"{SDK} over {AIOHTTP}, concurrency {level}"
        found.append(at_most(title, value, "", AIOHTTP_BAR, spread=spread))
    flat = "highest over lowest concurrency's median"
    found.append(at_most(f"{SDK}, {flat}", _flatness(costs, SDK, levels), "", FLAT_BAR))
    found += [
        Metric(f"{name}, {flat}", _flatness(costs, name, levels))
        for name in (SDK + UNTUNED, AIOHTTP + UNTUNED)
    ]
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


def _ratio(costs: Costs, above: str, under: str, level: int) -> tuple[float, tuple[float, float]]:
    """Of the rounds that have both."""
    over, below = costs[above, level].by_round, costs[under, level].by_round
    rounds = sorted(over.keys() & below.keys())
    return median_and_spread(ratios([over[n] for n in rounds], [below[n] for n in rounds]))


def _median(costs: Costs, name: str, level: int) -> float:
    return median_and_spread(list(costs[name, level].by_round.values()))[0]


def _flatness(costs: Costs, name: str, levels: Sequence[int]) -> float:
    medians = [_median(costs, name, level) for level in levels]
    return max(medians) / min(medians)


@click.command(help=__doc__)
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--concurrency",
    "levels",
    multiple=True,
    default=(64, 256, 1024),
    show_default=True,
    type=click.IntRange(min=1),
    help="may be given several times",
)
def main(rounds: int, levels: tuple[int, ...]) -> None:
    costs = measure(contenders(), levels, rounds)
    metrics = metrics_of(costs, levels)
    told = ", ".join(f"{_median(costs, SDK, level):.3f} at {level}" for level in levels)
    code = finish(
        "client",
        metrics,
        f"CPU-ms per completion on the SDK's path, by concurrency: {told}",
        settings={
            "rounds": rounds,
            "concurrency": levels,
            "collector_new_objects": NEW_OBJECTS,
            "batches": {each.name: [each.batch(level) for level in levels] for each in contenders()},
        },
        notes=[
            f"The collector looks at young objects after {NEW_OBJECTS:,} new ones, for every way but those"
            " that say otherwise: rro_sdk.collector, which rro's commands use and your own program may.",
            "The stub answers at once, so one turn of the event loop serves many replies; one pool of"
            " httpx or httpx2 took part in one round only.",
        ],
        packages=("openai", "httpx2", "httpx", "tenacity", "pydantic"),
    )
    raise SystemExit(code)


if __name__ == "__main__":
    main()
