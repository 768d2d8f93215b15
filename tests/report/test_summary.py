from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from rro_sdk._pools import pool_of
from rro_sdk.journal import Journal
from rro_sdk.ledger import ledger_of
from rro_sdk.methods import FixedSize, Method, RisingReward, Strict
from rro_sdk.methods.rising import OnFirstRise
from rro_sdk.policy import Proposal
from rro_sdk.report.summary import MOST_UNITS, RunStats, RunSummary
from rro_sdk.report.text import format_summary, summary_of
from rro_sdk.sampler import Sampler
from rro_sdk.spending import Reuse, Spending
from rro_sdk.stats import candidates_null
from rro_sdk.testing import TreeEnv, TreePolicy, TreeSettings, tree_tasks
from rro_sdk.types import Action, Candidate, Estimate, Event, Message, Observation, StepRecord, TaskEnd, Usage

SMALL = TreeSettings(depth=3, branching=4, task_spread=0.2)


async def explored(
    tasks: int, method: Method | None = None, run: Path | None = None, spending: Spending | None = None
) -> list[Event]:
    sampler = Sampler(
        TreeEnv(SMALL),
        policy=TreePolicy(SMALL),
        method=method or RisingReward(rollouts=3, max_candidates=3),
        run_dir=run,
        spending=spending,
    )
    async with sampler:
        return [event async for event in sampler.events(tree_tasks(tasks))]


def summary_from(events: list[Event]) -> RunSummary:
    stats = RunStats(rollouts=3, max_candidates=3, min_candidates=1, reestimate_duplicates=False)
    for event in events:
        stats.add(event)
    return stats.summary()


async def test_every_mean_has_its_interval_and_lies_in_it() -> None:
    events = await explored(60)
    found = summary_from(events)
    for name in (
        "mean_outcome",
        "candidates_per_step",
        "candidates_per_step_null",
        "pairs_per_1000_rollouts",
    ):
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high, name
    for name in ("rising_by_third", "strictly_rising_by_third"):
        for third, share in zip(("first", "middle", "last"), getattr(found, name), strict=True):
            low, high = found.intervals[f"{name}.{third}"]
            assert low < share < high
    assert found.effective_steps is not None
    assert found.effective_steps < found.steps, "steps of one task are alike"
    quarter = summary_from([event for event in events if int(event.task_id[1:]) < 15])
    wide, narrow = quarter.intervals["candidates_per_step"], found.intervals["candidates_per_step"]
    assert wide[1] - wide[0] > 1.3 * (narrow[1] - narrow[0])
    low, high = found.intervals["candidates_per_step"]
    shown = format_summary(found)
    assert f"{found.candidates_per_step:.2f} ({low:.2f} to {high:.2f})" in shown
    assert "independent" in shown
    assert max(map(len, shown.splitlines())) <= 100


async def test_intervals_do_not_depend_on_the_order_in_which_tasks_ended() -> None:
    events = await explored(8)
    events.sort(key=lambda event: event.task_id)
    one = summary_from(events)
    tasks = [list(group) for _, group in groupby(events, key=lambda event: event.task_id)]
    random.Random(1).shuffle(tasks)
    other = summary_from([event for group in tasks for event in group])
    assert (one.intervals, one.effective_steps) == (other.intervals, other.effective_steps)
    assert one.candidates_per_step_null == pytest.approx(other.candidates_per_step_null)


async def test_one_task_tells_no_interval() -> None:
    found = summary_from(await explored(1))
    assert (found.intervals, found.effective_steps) == ({}, None)
    assert "independent" not in format_summary(found)


async def test_many_tasks_are_redrawn_in_groups() -> None:
    few = [TaskEnd(f"t{number}", 1, float(number % 2), False) for number in range(MOST_UNITS)]
    many = [TaskEnd(f"t{number}", 1, float(number % 2), False) for number in range(16 * MOST_UNITS)]
    narrow, wide = (summary_from(list(ends)).intervals["mean_outcome"] for ends in (many, few))
    assert 3.0 < (wide[1] - wide[0]) / (narrow[1] - narrow[0]) < 5.5, "16 times the tasks, a quarter as wide"


async def test_a_report_has_the_null_of_the_runs_own_rule(tmp_path: Path) -> None:
    await explored(12, RisingReward(3, 3, rule=Strict()), tmp_path / "strict")
    with Journal.open(tmp_path / "strict") as journal:
        strict = summary_of(journal)
        pools = [
            (
                *event.baseline.outcomes,
                *(
                    outcome
                    for each in event.candidates
                    if each.duplicate_of is None or each.estimate.terminal
                    for outcome in each.estimate.outcomes
                ),
            )
            for event in journal.events()
            if isinstance(event, StepRecord)
        ]

    def rises(baseline: tuple[float, ...], candidate: tuple[float, ...]) -> bool:
        return sum(candidate) > sum(baseline)

    assert strict.candidates_per_step_null == pytest.approx(candidates_null(pools, 3, 3, rises=rises))
    assert strict.candidates_per_step_null != pytest.approx(candidates_null(pools, 3, 3))
    await explored(4, FixedSize(3, 3), tmp_path / "fixed")
    with Journal.open(tmp_path / "fixed") as journal:
        assert summary_of(journal).candidates_per_step_null == 3.0


@pytest.mark.parametrize("reuse", ["off", "unbiased", "economy"])
@pytest.mark.parametrize("first", ["skip", "prefix_action"])
async def test_rollouts_are_those_that_were_drawn(tmp_path: Path, reuse: Reuse, first: OnFirstRise) -> None:
    spending = Spending(early_decision=True, reuse=reuse)
    method = RisingReward(3, 4, on_first_rise=first)
    await explored(20, method, tmp_path / "run", spending)
    with Journal.open(tmp_path / "run") as journal:
        summary = summary_of(journal)
        assert summary.rollouts == sum(1 for task in journal.begun() for _ in journal.rollouts_of(task))


def test_the_outcomes_of_an_equal_candidate_are_in_the_pool_once() -> None:
    def candidate(
        index: int, outcomes: tuple[float, ...], twin: int | None = None, **more: bool
    ) -> Candidate:
        return Candidate(index, Action("a", "a"), Observation("x"), Estimate(outcomes, **more), twin)

    step = StepRecord(
        "t",
        1,
        (),
        Estimate((0.0, 1.0)),
        (
            candidate(0, (0.0, 0.5)),
            candidate(1, (0.0, 0.5), 0),
            candidate(2, (0.25,), terminal=True),
            candidate(3, (0.25,), 2, terminal=True),  # drawn from the prefix anew, and it ended as it must
        ),
        "exhausted",
        None,
        "single_candidate",
        0,
        "",
        Usage(),
        0,
    )
    assert pool_of(step, False) == (0.0, 1.0, 0.0, 0.5, 0.25, 0.25)
    assert pool_of(step, True) == (0.0, 1.0, 0.0, 0.5, 0.0, 0.5, 0.25, 0.25)


async def test_a_baseline_is_lost_with_the_step_that_was_thrown_away(tmp_path: Path) -> None:
    class Reloaded(TreePolicy):
        asked = 0

        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            said = await super().act(messages, seed=seed, affinity=affinity)
            self.asked += 1
            return msgspec.structs.replace(said, weight_versions=("old" if self.asked < 6 else "new",))

    sampler = Sampler(
        TreeEnv(SMALL),
        policy=Reloaded(SMALL),
        method=RisingReward(rollouts=3),
        run_dir=tmp_path / "run",
        tasks_in_flight=1,
    )
    async with sampler:
        kinds = [type(event).__name__ async for event in sampler.events(tree_tasks(1))]
    assert kinds[:3] == ["Baseline", "Discarded", "Baseline"]
    lost = sampler.summary().lost_to_reload
    with Journal.open(tmp_path / "run") as journal:
        assert lost == ledger_of(journal).entries["reload"].usage
    assert 0 < lost.completion_tokens < sampler.summary().tokens.completion_tokens
