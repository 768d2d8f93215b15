"""Which part of a run saturates first, at a size that no desk has: arithmetic on measured costs. Pure.

Every part has a load: the share of what it can do that the GPUs ask of it, or the share of the run's time
that it takes while they wait. The first bottleneck is the largest load; above 1 the GPUs wait for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BUSY = 0.7
"""Of a sampler process's core, planned: the rest is for bursts and for what else its node does."""

GPUS_A_NODE = 8


@dataclass(frozen=True)
class Costs:
    """What was measured, or is assumed (`Assumed`).

    Attributes:
        completions_s: that one GPU's server gives.
        completions, pairs: of one task.
        completion_cpu_s: of a sampler process, wire and shard included.
        look_cpu_s: of a sampler process, to look at one server once; it does so each second.
        journal_rows_s: that one journal takes.
        rows, row_bytes: that a completion leaves, and how large one is.
        merge_rows_s: that the merge takes with a core of its own, which is what it waits for.
        read_rows_s: that a report or an export reads.
        reload_s: that a reload holds servers up, beyond loading.
    """

    completions_s: float
    completions: float
    pairs: float
    completion_cpu_s: float
    look_cpu_s: float
    journal_rows_s: float
    rows: float
    row_bytes: float
    merge_rows_s: float
    read_rows_s: float
    reload_s: float


@dataclass(frozen=True)
class Assumed:
    """What cannot be measured here; settings of the benchmark.

    Attributes:
        checkpoint_bytes: read by every node at a reload.
        storage_bytes_s: that shared storage gives in all.
        disk_bytes: of the machine that holds the run.
    """

    checkpoint_bytes: float = 5.2e9
    storage_bytes_s: float = 2e9
    disk_bytes: float = 2e12


@dataclass(frozen=True)
class Part:
    """One part under one load.

    Attributes:
        name: of the part.
        load: see the module.
        lift: the change that would lift it.
        one: whether there is but one of it, so that more machines do not help.
    """

    name: str
    load: float
    lift: str
    one: bool = True


@dataclass(frozen=True)
class Plan:
    """One size.

    Attributes:
        gpus, tasks: its size.
        hours: that the GPUs alone would take.
        samplers: processes that `--engine ray` needs for them.
        parts: the most loaded first; `single` is what one process would be.
    """

    gpus: int
    tasks: int
    hours: float
    samplers: int
    parts: tuple[Part, ...]

    @property
    def first(self) -> Part:
        return self.parts[0]


def plan(costs: Costs, assumed: Assumed, gpus: int, tasks: int, iterations: int) -> Plan:
    """The loads of a run of so many tasks on so many GPUs, sampled by `--engine ray`."""
    asked = gpus * costs.completions_s
    seconds = tasks * costs.completions / asked
    rows_s, rows = asked * costs.rows, tasks * costs.completions * costs.rows
    share = costs.completion_cpu_s
    # Every sampler looks at every server: what looking takes is not there for completions.
    left = BUSY - gpus * costs.look_cpu_s
    samplers = math.ceil(asked * share / left) if left > 0 else 0
    nodes = math.ceil(gpus / GPUS_A_NODE)
    loading = nodes * assumed.checkpoint_bytes / assumed.storage_bytes_s + costs.reload_s
    parts = [
        Part(
            "samplers that look at every server each second",
            gpus * costs.look_cpu_s / BUSY,
            "give each sampler its own share of the servers: fewer looks, the same affinity",
            one=False,
        ),
        Part(
            "the one merge",
            rows_s / costs.merge_rows_s,
            "one run folder a part of the tasks, each with its own driver; exports are joined by task",
        ),
        Part(
            "commits' bytes on shared storage",
            rows_s * costs.row_bytes / assumed.storage_bytes_s,
            "logs on the nodes' own disks, with a copy on a second node in place of shared storage",
        ),
        Part(
            "disk of the run's one file",
            rows * costs.row_bytes / assumed.disk_bytes,
            "one run folder a part of the tasks, or replies left out of merged blocks",
        ),
        Part(
            "reading the whole run once, for report or export",
            rows / costs.read_rows_s / seconds,
            "totals and pairs kept as blocks are merged, so that nothing reads replies again",
        ),
        Part(
            "loading checkpoints from shared storage",
            iterations * loading / seconds,
            "checkpoints passed on from node to node, so that storage gives each once",
        ),
    ]
    parts.sort(key=lambda part: -part.load)
    return Plan(gpus, tasks, seconds / 3600, samplers, tuple(parts))


def one_process(costs: Costs, gpus: int) -> list[Part]:
    """The loads of a single process in front of so many GPUs, without `--engine ray`."""
    asked = gpus * costs.completions_s
    return [
        Part(
            "one sampler process",
            asked * costs.completion_cpu_s + gpus * costs.look_cpu_s,
            "rro sample --engine ray: a process for each core",
        ),
        Part("its journal", asked * costs.rows / costs.journal_rows_s, "rro sample --engine ray: shards"),
    ]


def saturated_at(costs: Costs, assumed: Assumed, name: str, tasks: int, iterations: int) -> int | None:
    """The fewest GPUs at which a part's load passes 1; None where no number of them does."""
    most = 1 << 24

    def load(gpus: int) -> float:
        found = plan(costs, assumed, gpus, tasks, iterations).parts
        return next(part.load for part in found if part.name == name)

    if load(most) <= 1:
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if load(middle) > 1 else (middle, high)
    return high
