"""The fold of a run's events is what its summary and its ledger say at the end, however it was read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.journal import Journal
from rro_sdk.ledger import ledger_of
from rro_sdk.live import reader as reading
from rro_sdk.live.fold import RunFold
from rro_sdk.live.reader import RunReader
from rro_sdk.live.status import SamplerStatus
from rro_sdk.live.view import View
from rro_sdk.methods import Paper, Strict
from rro_sdk.methods.rules import Rule
from rro_sdk.report.summary import RunStats, RunSummary
from rro_sdk.report.text import summary_of
from rro_sdk.types import (
    Action,
    Baseline,
    Candidate,
    Estimate,
    Event,
    Observation,
    Resumed,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
)
from tests.live.events import HEADER, ROLLOUTS, Recorded, runs


def summary_from(events: Sequence[Event], rule: Rule | None = None) -> RunSummary:
    stats = RunStats(
        rollouts=ROLLOUTS, max_candidates=4, min_candidates=1, reestimate_duplicates=False, rule=rule
    )
    for event in events:
        stats.add(event)
    return stats.summary()


def folded(events: Sequence[Event], rule: Rule | None = None) -> View:
    fold = RunFold(HEADER, rule)
    for event in events:
        fold.add(event)
    while fold.estimate_nulls(100):
        pass
    return fold.view("run", None, "unknown", now=0.0)


def agree(view: View, summary: RunSummary) -> None:
    for name in ("steps", "candidates", "candidates_per_step", "pairs", "rollouts", "retries"):
        assert getattr(view, name) == getattr(summary, name), name
    assert view.steps_by_outcome == summary.steps_by_outcome
    assert view.no_pair == summary.no_pair
    assert view.tasks.finished == summary.tasks
    assert view.mean_outcome == pytest.approx(summary.mean_outcome)
    assert view.pairs_per_1000_rollouts == pytest.approx(summary.pairs_per_1000_rollouts)


@settings(max_examples=40, deadline=None)
@given(runs(), st.sampled_from([None, Paper(), Strict()]))
def test_the_fold_of_all_events_is_the_summary(run: Recorded, rule: Rule | None) -> None:
    view, summary = folded(run.events, rule), summary_from(run.events, rule)
    agree(view, summary)
    assert view.candidates_per_step_null == pytest.approx(summary.candidates_per_step_null)
    assert view.null_steps == view.steps
    finished = {event.task_id for event in run.events if isinstance(event, TaskEnd)}
    aside = {e.task_id for e in run.events if isinstance(e, TaskFailed) and e.fault_of != "server"}
    assert len(aside - finished) <= view.tasks.set_aside <= summary.tasks_failed, "some are taken up"


@settings(max_examples=12, deadline=None)
@given(runs(graded=True))
def test_with_graded_outcomes_all_but_the_null_is_the_summary(run: Recorded) -> None:
    agree(folded(run.events), summary_from(run.events))


def test_the_null_of_graded_outcomes_is_estimated() -> None:
    """300 steps of one pool: 0.1 is six standard errors of the mean of 8 resamples a step."""
    estimate = Estimate((0.1, 0.5, 0.9))
    action, observation = Action("a", "a"), Observation("o")
    candidates = (Candidate(0, action, observation, estimate),)
    step = StepRecord("q", 1, (), estimate, candidates, "risen", None, "single_candidate", 0, "v", Usage(), 0)
    view = folded([step] * 300)
    exact = summary_from([step]).candidates_per_step_null
    assert view.null_steps == 300
    assert view.candidates_per_step_null == pytest.approx(exact, abs=0.1)


def test_while_a_run_grows_its_null_may_be_of_a_few_steps_less() -> None:
    action, observation = Action("a", "a"), Observation("o")

    def step(outcomes: tuple[float, ...]) -> StepRecord:
        candidates = (Candidate(0, action, observation, Estimate(outcomes)),)
        told = Estimate(outcomes)
        return StepRecord("q", 1, (), told, candidates, "risen", None, "single_candidate", 0, "v", Usage(), 0)

    def null(*, exact: bool) -> float:
        found = fold.view("run", None, "unknown", now=0.0, exact=exact).candidates_per_step_null
        assert found is not None
        return found

    fold = RunFold(HEADER)
    events = [step((0.0, 1.0, 1.0))] * 100
    for event in events:
        fold.add(event)
    before = null(exact=False)
    assert before == pytest.approx(summary_from(events).candidates_per_step_null)
    more = [step((0.0, 0.0, 0.0))] * 4
    for event in more:
        fold.add(event)
    assert null(exact=False) == before
    assert (
        null(exact=True) == pytest.approx(summary_from([*events, *more]).candidates_per_step_null) != before
    )


@settings(max_examples=15, deadline=None)
@given(runs(), st.integers(1, 5), st.integers(1, 3))
def test_read_in_any_pieces_a_journal_is_its_ledger_and_its_summary(
    run: Recorded, events_at_once: int, tasks_at_once: int
) -> None:
    rows = run.journal_rows()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "EVENTS_AT_ONCE", events_at_once)
        patch.setattr(reading, "TASKS_AT_ONCE", tasks_at_once)
        journal = Journal.create(Path(folder), HEADER)
        with journal, RunReader(Path(folder), budget_s=1.0) as reader:
            for start in range(0, len(rows), 7):  # the run goes on while it is read
                journal.write(rows[start : start + 7])
                reader.look()
            quiet = [reader.look() for _ in range(reading.QUIET_LOOKS + 1)][-1]
            view, again = reader.look_at_all(), reader.look_at_all()
            ledger, summary = ledger_of(journal), summary_of(journal)
    agree(view, summary)
    assert quiet.candidates_per_step_null == pytest.approx(summary.candidates_per_step_null)
    expected = {kind: entry.usage.completion_tokens for kind, entry in ledger.entries.items()}
    assert view.generated == again.generated == expected
    assert view.unknown_requests == ledger.unknown_requests
    assert view.read == 1.0


def test_a_look_reads_no_longer_than_it_may(tmp_path: Path) -> None:
    with Journal.create(tmp_path, HEADER) as journal:
        for number in range(3 * reading.EVENTS_AT_ONCE):
            journal.append(Baseline(f"q{number}", 1, Estimate((1.0,)), Usage(), 1))
        with RunReader(tmp_path, budget_s=0.0) as reader:
            assert reader.look().read == pytest.approx(1 / 3), "one query, whatever the time"
            assert reader.look_at_all().rollouts == 3 * reading.EVENTS_AT_ONCE


def status(**changes: object) -> SamplerStatus:
    told: dict[str, object] = {
        "pid": 1,
        "host": "here",
        "at": 100.0,
        "elapsed_s": 60.0,
        "running": 4,
        "given": 20,
        "closed_before": 0,
        "tokens_before": Usage(0, 0, 100),
        "usage": Usage(1000, 750, 400),
        "generated_per_s": 8.0,
        "weight_version": "v",
    }
    return SamplerStatus(**{**told, **changes})  # type: ignore[arg-type]


def ended(count: int) -> RunFold:
    fold = RunFold(HEADER)
    for number in range(count):
        fold.add(TaskEnd(f"q{number}", 1, 1.0, False))
    return fold


def test_time_to_go_is_the_pace_so_far_with_half_of_what_is_under_way() -> None:
    view = ended(6).view("run", status(), "sampling", now=100.5)
    assert (view.tasks.finished, view.tasks.running, view.tasks.waiting) == (6, 4, 10)
    assert view.to_go_s == pytest.approx(60.0 * (10 + 2) / (6 + 2))
    assert view.cached_share == 0.75
    assert view.generated["open"] == 500, "all replies so far: none is read yet"
    assert ended(2).view("run", status(), "sampling", now=100.5).to_go_s is None, "too few to go by"
    resumed = ended(6).view("run", status(closed_before=5), "sampling", now=100.5)
    assert resumed.to_go_s is None, "what another sampler closed says nothing of the pace of this one"
    unknown = ended(6).view("run", status(given=None), "sampling", now=100.5)
    assert (unknown.tasks.waiting, unknown.to_go_s) == (None, None)
    over = ended(6).view("run", status(), "interrupted", now=100.5)
    assert (over.to_go_s, over.generated_per_s, over.tasks.waiting) == (None, None, 14)


def test_the_journal_may_be_ahead_of_what_the_sampler_told() -> None:
    tasks = ended(18).view("run", status(), "sampling", now=100.5).tasks
    assert (tasks.finished, tasks.running, tasks.waiting) == (18, 2, 0)


def test_what_a_server_had_set_aside_is_taken_up_by_a_resume() -> None:
    fold = RunFold(HEADER)
    fold.add(TaskFailed("q1", "why", "server"))
    fold.add(TaskFailed("q2", "why", "environment"))
    assert fold.view("run", None, "unknown", now=0.0).tasks.set_aside == 2
    fold.add(Resumed({}, ()))
    assert fold.view("run", None, "unknown", now=0.0).tasks.set_aside == 1
