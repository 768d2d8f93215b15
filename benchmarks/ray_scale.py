"""`python -m benchmarks.ray_scale`: `--engine ray` on real Ray clusters of this machine, of 1, 2 and 4 nodes.

- *Rates*: each node has one sampler, and there is a fake server of 4 slots for each, slow enough that the
  servers are the limit and not this machine's cores. Tasks grow with nodes. The single process has the tasks
  and the server of one node. Starting Ray and the samplers is not counted; opening, shipping and merging is.
  How many pairs a task yields is its seed's luck, and more nodes have more tasks: so pairs per completion are
  taken over all runs, and a run's pairs/s are its completions/s times that.
- *Memory*: many tasks with scripted replies on two nodes, from a generator. Peak memory of this process,
  which is the driver, and of the samplers.
- *Merge*: blocks of such tasks and of tasks as the paper's, merged alone until all rows are in their places.
- *Outage*: the shared folder goes away for a while in the middle of a run, and comes back.

The pairs are the same in all of them, or it is an error.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks._harness import Metric, at_least, below, finish, median_and_spread, ratios
from benchmarks._merging import merge_rounds, paper_block, scripted_block
from benchmarks._moves_server import PROFILE, moves_server
from benchmarks._scripted import METHOD, Guess, ScriptedGuesses, guessing_tasks
from benchmarks._simulated import Moves, tasks
from rro_sdk.cluster import Totals, Work, sample_on_ray
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from tests.cluster.nodes import Nodes, ray_nodes

NODES = (1, 2, 4)
SLOTS = 4
BLOCK = 8
MILLION_BLOCK = 512
MERGED_BLOCKS = 64
PARTS = ("memory", "outage", "rates", "merge")

Measured = tuple[list[Metric], str]
"""A part's figures, and its line."""


@dataclass(frozen=True)
class Rate:
    """What a run came to.

    Attributes:
        pairs, completions: of it.
        seconds: of sampling them.
    """

    pairs: int
    completions: int
    seconds: float


def single(url: str, count: int, folder: Path) -> tuple[Rate, bytes]:
    """A single process, and its export."""

    async def run() -> Rate:
        began = time.monotonic()
        async with Sampler(Moves(), servers=[url], method=RisingReward(), run_dir=folder) as sampler:
            async for _ in sampler.events(tasks(count)):
                pass
        found = sampler.summary()
        return Rate(found.pairs, found.turns, time.monotonic() - began)

    rate = asyncio.run(run())
    return rate, (folder / "pairs.jsonl").read_bytes()


def on_nodes(nodes: Nodes, urls: Sequence[str], count: int, folder: Path) -> tuple[Rate, bytes]:
    """A cluster, and its export."""
    work = Work(make_env=Moves, method=RisingReward(), servers=tuple(urls))
    totals = asyncio.run(
        sample_on_ray(
            work,
            tasks(count),
            folder / "run",
            shared=str(folder / "shared"),
            address=nodes.address,
            samplers=len(urls),
            block_tasks=BLOCK,
        )
    )
    rate = Rate(totals.pairs, totals.replies, totals.sampling_s)
    return rate, (folder / "run" / "pairs.jsonl").read_bytes()


def rates(per_node: int, rounds: int) -> tuple[list[Rate], dict[int, list[Rate]]]:
    """Round by round: a single process, and each number of nodes."""
    alone: list[Rate] = []
    found: dict[int, list[Rate]] = {count: [] for count in NODES}
    with ray_nodes(max(NODES)) as nodes, ExitStack() as stack:
        urls = [stack.enter_context(moves_server(SLOTS)) for _ in range(max(NODES))]
        for number in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                one, expected = single(urls[0], per_node, Path(folder) / "single")
                alone.append(one)
                for count in NODES:
                    place = Path(folder) / f"{count}-{number}"
                    rate, export = on_nodes(nodes, urls[:count], count * per_node, place)
                    found[count].append(rate)
                    if count == 1 and (export, rate.completions) != (expected, one.completions):
                        raise AssertionError("a cluster of one node gave other pairs")
    return alone, found


def pairs_per_second(runs: Sequence[Rate], yield_: float) -> list[float]:
    """Of each run, at the same pairs per completion."""
    return [each.completions / each.seconds * yield_ for each in runs]


def scripted(nodes: Nodes, count: int, folder: Path, outage_s: float = 0.0) -> Totals:
    """Many tasks whose replies cost nothing; the shared folder goes away for so long in the middle."""
    shared = folder / "shared"
    away = threading.Event()

    def fail() -> None:
        shared.rename(folder / "away")
        away.wait(outage_s)
        (folder / "away").rename(shared)

    outages: list[threading.Thread] = []

    def note(totals: Totals) -> None:
        if outage_s and not outages and totals.blocks:
            outages.append(threading.Thread(target=fail))
            outages[0].start()

    made = Work(make_env=Guess, method=METHOD, make_policy=ScriptedGuesses, tasks_in_flight=64)
    try:
        return asyncio.run(
            sample_on_ray(
                made,
                guessing_tasks(0, count),
                folder / "run",
                shared=str(shared),
                address=nodes.address,
                block_tasks=MILLION_BLOCK,
                note=note,
            )
        )
    finally:
        for each in outages:
            each.join()


def memory(count: int) -> Measured:
    """Memory over many tasks. Goes before other parts: a peak is of the whole process."""
    with ray_nodes(2) as nodes, tempfile.TemporaryDirectory() as folder:
        many = scripted(nodes, count, Path(folder))
    driver_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    assert many.finished == count
    metrics = [
        Metric("scripted tasks", many.finished),
        Metric("scripted tasks/s, two samplers", many.finished / many.sampling_s, "1/s"),
        below("driver's memory at its peak", driver_mb, "MB", 500),
        below("largest sampler's memory", many.sampler_mb, "MB", 400),
        Metric("merging, of the scripted run's time", many.merge_s / many.sampling_s),
    ]
    line = f"{count:,} tasks in {driver_mb:.0f} MB of driver and {many.sampler_mb:.0f} MB of sampler"
    return metrics, line


def outage(seconds: float) -> Measured:
    """A run whose shared folder goes away for so long, beside one that is left in peace."""
    few = 8 * MILLION_BLOCK
    with ray_nodes(2) as nodes, tempfile.TemporaryDirectory() as folder:
        exports, lasted, finished = [], [], []
        for name, away in (("plain", 0.0), ("outage", seconds)):
            place = Path(folder) / name
            place.mkdir()
            totals = scripted(nodes, few, place, away)
            finished.append(totals.finished)
            lasted.append(totals.sampling_s)
            exports.append((place / "run" / "pairs.jsonl").read_bytes())
    assert finished == [few, few] and exports[0]
    same = exports[0] == exports[1]
    metrics = [
        at_least("exports the same after an outage of shared storage", float(same), "", 1),
        Metric("outage", seconds, "s"),
        Metric("run with the outage, longer than without it", lasted[1] - lasted[0], "s"),
    ]
    return (
        metrics,
        f"{seconds:.0f} s without shared storage cost {lasted[1] - lasted[0]:.0f} s and nothing else",
    )


def scaling(per_node: int, rounds: int) -> Measured:
    """Rates of one, two and four nodes, and of a single process."""
    alone_runs, runs = rates(per_node, rounds)
    every = [*alone_runs, *(each for of_size in runs.values() for each in of_size)]
    yield_ = sum(each.pairs for each in every) / sum(each.completions for each in every)
    alone = pairs_per_second(alone_runs, yield_)
    found = {count: pairs_per_second(of_size, yield_) for count, of_size in runs.items()}
    single_x, single_spread = median_and_spread(ratios(found[1], alone))
    four_x, four_spread = median_and_spread(ratios(found[4], found[1]))
    two_x, two_spread = median_and_spread(ratios(found[2], found[1]))
    metrics = [
        at_least("one node's sampler over a single process", single_x, "x", 0.95, spread=single_spread),
        Metric("2 nodes over 1", two_x, "x", spread=two_spread),
        at_least("4 nodes over 1", four_x, "x", 3.8, spread=four_spread),
        Metric("pairs/s, single process", median_and_spread(alone)[0], "1/s"),
        *(
            Metric(f"pairs per completion, {count} nodes", runs[count][0].pairs / runs[count][0].completions)
            for count in NODES
        ),
    ]
    return metrics, f"one node's sampler at {single_x:.3f} of a single process, 4 nodes {four_x:.2f}x of 1"


def merging(rounds: int) -> Measured:
    """The merge alone: of blocks as a scripted run leaves them, and of tasks as the paper's."""
    scripted_rounds = merge_rounds(MERGED_BLOCKS, MILLION_BLOCK, scripted_block, rounds)
    paper_rounds = merge_rounds(MERGED_BLOCKS // 4, 32, paper_block, rounds)
    pairs, spread = median_and_spread([each.pairs / each.seconds for each in scripted_rounds])
    cpu, cpu_spread = median_and_spread([each.pairs / each.cpu_s for each in scripted_rounds])
    paper, paper_spread = median_and_spread([each.pairs / each.seconds for each in paper_rounds])
    merged, whole = scripted_rounds[0], paper_rounds[0]
    metrics = [
        at_least("pairs merged, scripted", pairs, "1/s", 50_000, spread=spread),
        Metric("pairs merged by a core's second, scripted", cpu, "1/s", spread=cpu_spread),
        Metric("rows of a scripted pair", merged.rows / merged.pairs),
        Metric("rows merged, scripted", pairs * merged.rows / merged.pairs, "1/s"),
        Metric("pairs merged, paper's shape", paper, "1/s", spread=paper_spread),
        Metric("rows of a pair, paper's shape", whole.rows / whole.pairs),
        Metric("rows merged, paper's shape", paper * whole.rows / whole.pairs, "1/s"),
    ]
    return metrics, f"{pairs:,.0f} pairs/s merged ({cpu:,.0f} by a core's second)"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_scale")
    parser.add_argument("--only", choices=PARTS, help="one part, stored as ray_scale_PART")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="scripted ones, for memory")
    parser.add_argument("--per-node", type=int, default=32, help="tasks of each node, for rates")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without shared storage")
    got = parser.parse_args(argv)
    does: dict[str, Callable[[], Measured]] = {
        "memory": lambda: memory(got.tasks),
        "outage": lambda: outage(got.outage),
        "rates": lambda: scaling(got.per_node, got.rounds),
        "merge": lambda: merging(got.rounds),
    }
    metrics: list[Metric] = []
    lines: list[str] = []
    for part in [got.only] if got.only else PARTS:
        found, line = does[part]()
        metrics += found
        lines.append(line)
    return finish(
        "ray_scale" if got.only is None else f"ray_scale_{got.only}",
        metrics,
        "; ".join(lines),
        settings={"slots": SLOTS, "profile": PROFILE, "block": BLOCK, **vars(got)},
        packages=("ray",),
    )


if __name__ == "__main__":
    sys.exit(main())
