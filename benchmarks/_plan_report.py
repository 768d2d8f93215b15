"""`benchmarks.simulate --scenario paper|1k-gpus`: the plan of `_scale_plan.py` on figures of this machine.

What one GPU asks for is simulated now, at all of its slots; what merging and what a row's size come to is
measured now; what a client, a journal, a reader and a reload cost is taken from the last run of their
benchmarks. What no machine here can tell is assumed, and named.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from benchmarks._harness import RESULTS, Metric, finish
from benchmarks._merging import merge_blocks, paper_block
from benchmarks._scale_plan import Assumed, Costs, Plan, one_process, plan, saturated_at

SIZES = (8, 64, 1000)
ITERATIONS = 3
TASKS = {"paper": 5_000, "1k-gpus": 10_000_000}
"""Of an iteration. The paper's data sets have one to four thousand tasks."""

BLOCKS, BLOCK_TASKS = 8, 32
"""Merged to measure the merge: some 37,000 rows."""


@dataclass(frozen=True)
class Demand:
    """What one GPU's server asks of everything else, from its simulation."""

    completions_s: float
    completions: float
    pairs: float
    client_ms: float


class _Results(msgspec.Struct):
    metrics: list[Metric]


def measured(demand: Demand, results: Path = RESULTS) -> Costs:
    """The costs of this machine.

    Raises:
        SystemExit: a benchmark that has to be run first is named.
    """
    wire_ms = _result(results, "client", "bare aiohttp, concurrency 1024")
    journal_rows_s = _result(results, "journal", "rows written")
    merged = merge_blocks(BLOCKS, BLOCK_TASKS, paper_block)
    rows = merged.rows / merged.replies
    return Costs(
        completions_s=demand.completions_s,
        completions=demand.completions,
        pairs=demand.pairs,
        completion_cpu_s=(demand.client_ms + wire_ms) / 1000 + rows / journal_rows_s,
        look_cpu_s=wire_ms / 1000,
        journal_rows_s=journal_rows_s,
        rows=rows,
        row_bytes=merged.size / merged.rows,
        merge_rows_s=merged.rows / merged.cpu_s,
        read_rows_s=_result(results, "journal", "rows")
        / _result(results, "journal", "rows opened and summarised"),
        reload_s=_result(results, "reload", "drain: pause beyond the load"),
    )


def report(scenario: str, demand: Demand, source: str, assumed: Assumed | None = None) -> int:
    """Print and keep the plan; returns the exit code."""
    costs, assumed = measured(demand), assumed or Assumed()
    tasks = TASKS[scenario]
    plans = [plan(costs, assumed, gpus, tasks, 1) for gpus in SIZES]
    metrics = [Metric(f"measured: {name.replace('_', ' ')}", value) for name, value in asdict(costs).items()]
    for each in plans:
        metrics += _metrics(each, costs)
    for part in plans[0].parts:
        found = saturated_at(costs, assumed, part.name, tasks, 1)
        if found is not None:
            metrics.append(Metric(f"GPUs from which they wait for: {part.name}", found, note=part.lift))
    notes = [f"one iteration of {tasks:,} tasks; {ITERATIONS} of them take {ITERATIONS} times the hours"]
    for each in plans:
        verb = "is waited for" if each.first.load > 1 else "is the first to be"
        first = each.first
        notes.append(f"{each.gpus:,} GPUs: {first.name} {verb} ({first.load:.2g} of 1): {first.lift}")
    notes += [
        f"one GPU: {source}",
        "assumed, not measured: "
        + ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in asdict(assumed).items()),
    ]
    firsts = "; ".join(f"{each.gpus:,} GPUs: {each.first.name} at {each.first.load:.2g}" for each in plans)
    return finish(
        f"simulate_{scenario}", metrics, firsts, settings={"tasks": tasks, "sizes": SIZES}, notes=notes
    )


def _metrics(each: Plan, costs: Costs) -> list[Metric]:
    size = f"{each.gpus:,} GPUs"
    return [
        Metric(f"{size}: hours of one iteration, if nothing else waits", each.hours, "h"),
        Metric(f"{size}: pairs of one iteration", each.tasks * costs.pairs),
        Metric(f"{size}: samplers of --engine ray, one core each", each.samplers),
        *(
            Metric(f"{size}, one process: load of {part.name}", part.load, note=part.lift)
            for part in one_process(costs, each.gpus)
        ),
        *(Metric(f"{size}: load of {part.name}", part.load, note=part.lift) for part in each.parts),
    ]


def _result(results: Path, benchmark: str, metric: str) -> float:
    try:
        content = (results / f"{benchmark}.json").read_bytes()
        return next(
            each.value
            for each in msgspec.json.decode(content, type=_Results).metrics
            if each.metric == metric
        )
    except (OSError, StopIteration, msgspec.DecodeError):
        print(f"error: {benchmark}.json has no {metric!r}: run benchmarks.{benchmark} first", file=sys.stderr)
        raise SystemExit(2) from None
