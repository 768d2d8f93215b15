"""benchmarks.simulate's plan of scale: loads follow the size, and what saturates first is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks._merging import merge_blocks, paper_block
from benchmarks._scale_plan import Assumed, Costs, one_process, plan, saturated_at

COSTS = Costs(
    completions_s=100.0,
    completions=50.0,
    pairs=1.0,
    completion_cpu_s=1e-4,
    look_cpu_s=1e-5,
    journal_rows_s=50_000.0,
    rows=1.25,
    row_bytes=200.0,
    merge_rows_s=250_000.0,
    read_rows_s=500_000.0,
    reload_s=0.0,
)
MERGE = "the one merge"


def load(gpus: int, name: str, costs: Costs = COSTS) -> float:
    found = plan(costs, Assumed(), gpus, 1_000_000, 1)
    return next(part.load for part in found.parts if part.name == name)


def test_loads_are_what_the_costs_make_them() -> None:
    found = plan(COSTS, Assumed(), 1000, 1_000_000, 1)
    assert found.hours == pytest.approx(1_000_000 * 50 / 100_000 / 3600)
    assert load(1000, MERGE) == pytest.approx(100_000 * 1.25 / 250_000)
    assert load(1000, "disk of the run's one file") == pytest.approx(5e7 * 1.25 * 200 / 2e12)
    assert found.samplers == -(-100_000 * 1e-4 // (0.7 - 0.01))
    assert found.parts[0].load == max(part.load for part in found.parts)
    assert [part.load for part in one_process(COSTS, 1000)] == pytest.approx([10 + 0.01, 2.5])


def test_the_fewest_gpus_that_wait_are_found_and_a_faster_part_lets_more_work() -> None:
    found = saturated_at(COSTS, Assumed(), MERGE, 1_000_000, 1)
    assert found == 2001 and load(2000, MERGE) <= 1 < load(2001, MERGE)
    twice = replace(COSTS, merge_rows_s=500_000.0)
    assert saturated_at(twice, Assumed(), MERGE, 1_000_000, 1) == 4001
    assert saturated_at(COSTS, Assumed(), "disk of the run's one file", 1_000_000, 1) is None


def test_merging_is_measured_on_rows_that_are_there() -> None:
    found = merge_blocks(2, 3, paper_block)
    assert found.rows > found.replies > found.pairs > 0 and found.seconds > 0 and found.size > 0
