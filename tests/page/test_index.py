"""The table of tasks and the plots, on journals that are written row by row."""

from __future__ import annotations

import os
import random
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rro_sdk.errors import ConfigError, JournalError
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.journal.rows import event_row
from rro_sdk.page.early import early_neighbours, early_page, recorded_of
from rro_sdk.page.figures import FigureSums, null_of
from rro_sdk.page.index import RunIndex, TaskQuery, TaskTable
from rro_sdk.page.reading import Sibling, StepFacts, Worth, facts_after
from rro_sdk.page.source import Runs
from rro_sdk.page.task_rows import TaskRow
from rro_sdk.report.summary import RunSummary
from rro_sdk.report.text import SUMMARY_NAME, summary_of, write_summary
from rro_sdk.types import (
    Baseline,
    Estimate,
    Event,
    Message,
    PairChoice,
    Resumed,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
    Wasted,
)
from tests.page.test_verdict import candidate, record

METHOD = {"rollouts": 5, "max_candidates": 5, "min_candidates": 1, "reestimate_duplicates": False}
HEADER = RunHeader("2026-01-01T00:00:00+00:00", 0, METHOD, "toy", {}, {}, {})


def events(count: int, seed: int = 0) -> Iterator[Event]:
    """Tasks of one to three steps; every seventh is set aside, every eleventh never ends."""
    rng = random.Random(seed)
    for number in range(count):
        task = f"task-{number}"
        opening = (Message("user", f"Find the {'red' if number % 2 else 'blue'} one, 100% of {number}_"),)
        for step in range(1, rng.randrange(2, 5)):
            drawn = [
                candidate(at, *(float(rng.random() < 0.4) for _ in range(5)))
                for at in range(rng.randrange(1, 4))
            ]
            yield _of(record(*drawn, outcome="risen", no_pair="single_candidate"), task, step, opening)
        if number % 7 == 0:
            yield TaskFailed(task, "the world broke")
        elif number % 11:
            yield TaskEnd(task, 1, rng.choice((0.0, 0.5, 1.0)), truncated=False)


def _of(step: StepRecord, task: str, number: int, prefix: tuple[Message, ...]) -> StepRecord:
    return msgspec.structs.replace(step, task_id=task, step=number, prefix=prefix)


def journal_of(folder: Path, found: Iterator[Event], header: RunHeader = HEADER) -> Path:
    with Journal.create(folder, header) as journal:
        journal.write([event_row(event) for event in found])
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return journal_of(tmp_path / "run", events(120))


def ids(runs: Runs, **query: Any) -> list[str]:
    return [row.id for line in runs.tasks(TaskQuery(limit=500, **query)).rows for row in line[:1] if row]


def test_filters_search_and_pages_agree_with_the_rows_themselves(run: Path) -> None:
    with Runs([run]) as runs:
        rows = [line[0] for line in runs.tasks(TaskQuery(limit=500)).rows]
        assert [row.position for row in rows if row] == list(range(120))
        assert ids(runs, state="set aside") == [f"task-{at}" for at in range(0, 120, 7)]
        assert ids(runs, state="open") == [f"task-{at}" for at in range(0, 120, 11) if at % 7]
        solved = [row.id for row in rows if row and row.outcome == 1.0]
        assert ids(runs, outcome="solved") == solved
        assert ids(runs, q="THE RED") == [f"task-{at}" for at in range(1, 120, 2)]
        assert ids(runs, q="of 7_") == ["task-7"]  # no wildcards
        assert ids(runs, q="100%", outcome="solved") == solved
        halves = [runs.tasks(TaskQuery(offset=at, limit=60, sort="steps", down=True)) for at in (0, 60)]
        paged = [line[0] for half in halves for line in half.rows]
        assert [row.steps for row in paged if row] == sorted((row.steps for row in rows if row), reverse=True)
        assert len({row.id for row in paged if row}) == halves[0].total == 120
        # What is not known comes last, whichever way.
        for down in (False, True):
            last = runs.tasks(TaskQuery(sort="outcome", down=down, limit=500)).rows[-1][0]
            assert last is not None
            assert last.outcome is None
        for bad in (TaskQuery(sort="id; DROP TABLE task"), TaskQuery(sort="difference"), TaskQuery(limit=0)):
            with pytest.raises(ConfigError):
                runs.tasks(bad)


def test_two_runs_are_joined_by_task(tmp_path: Path, run: Path) -> None:
    other = journal_of(tmp_path / "other", events(130, seed=1))
    with Runs([run, other]) as runs:
        page = runs.tasks(TaskQuery(limit=500))
        assert page.total == 130
        assert [line[0] is None for line in page.rows] == [False] * 120 + [True] * 10
        differing = runs.tasks(TaskQuery(limit=500, differ=True)).rows
        assert 0 < len(differing) < 130
        assert all((a and a.outcome) != (b and b.outcome) for a, b in differing)
        first = runs.tasks(TaskQuery(sort="difference", down=True, limit=1)).rows[0]
        assert first[0] and first[1] and (first[0].outcome, first[1].outcome) == (0.0, 1.0)
        assert [view.name for view in runs.runs()] == ["run", "other"]


def test_the_index_follows_a_run_that_is_being_written(tmp_path: Path) -> None:
    made = list(events(12))
    with Journal.create(tmp_path / "run", HEADER) as writer, TaskTable() as table:
        with Journal.open(tmp_path / "run") as reader:
            index = RunIndex(reader, table, 0)
            for event in made:
                writer.append(event)
                assert index.catch_up() == 1
            assert index.catch_up() == 0
        grown = table.page(TaskQuery(limit=500))
    with Runs([tmp_path / "run"]) as runs:
        assert [line[0] for line in runs.tasks(TaskQuery(limit=500)).rows] == [line[0] for line in grown.rows]
        assert runs.task("task-3").before == "task-2"
        assert (runs.task("task-0").before, runs.task("task-11").after) == (None, None)


def test_plots_add_up_to_the_reports_own_numbers(run: Path) -> None:
    with Runs([run]) as runs, Journal.open(run) as journal:
        found, summary = runs.figures(0), summary_of(journal)
    steps = found.plots.at_step
    assert sum(at.count for at in steps) == summary.steps == sum(found.plots.drawn.values())
    drawn = sum(at.count * at.candidates for at in steps) / summary.steps
    null = sum(at.count * (at.null or 0.0) for at in steps) / summary.steps
    assert drawn == pytest.approx(summary.candidates_per_step)
    assert null == pytest.approx(summary.candidates_per_step_null)
    assert found.ready
    assert found.summary == summary


outcomes = st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=4).map(tuple)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=30))
def test_sums_are_means_over_steps(steps: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:
    sums = FigureSums()
    for before, after in steps:
        own = (Sibling(Worth(after)),)
        facts = StepFacts("t", 1, msgspec.Raw(b"[]"), Worth(before), own, "risen", "single_candidate", 0)
        sums.add_step(facts, facts.worth())
    (at,) = sums.plots(null_of(METHOD, None)).at_step
    rises = [sum(after) / len(after) - sum(before) / len(before) for before, after in steps]
    assert at.count == len(steps)
    assert at.rise[0] == pytest.approx(sum(rises) / len(rises), abs=1e-9)
    assert at.after - at.before == pytest.approx(at.rise[0], abs=1e-9)
    assert (at.rise[1] is None) == (len(steps) == 1)
    assert at.null is not None
    assert 1.0 <= at.null <= 5.0


def test_facts_are_the_records_without_their_texts(run: Path) -> None:
    with Journal.open(run) as journal:
        records = [event for event in journal.events() if isinstance(event, StepRecord)]
        facts = [each for _, _, each in facts_after(journal, 0) if isinstance(each, StepFacts)]
    assert len(facts) == len(records)
    for fact, whole in zip(facts, records, strict=True):
        worth = fact.worth()
        assert worth.own.mean == whole.candidate(whole.advance).reward
        assert worth.before.mean == whole.baseline.reward
        assert fact.opening() == whole.prefix[-1].content


def plain_rows(found: Iterable[Event]) -> list[TaskRow]:
    """The table as one would write it down from whole events, one task after the other."""
    by_task: dict[str, list[Event]] = {}
    for event in found:
        if event.task_id:
            by_task.setdefault(event.task_id, []).append(event)
    rows = []
    for position, (task_id, own) in enumerate(by_task.items()):
        steps = [event for event in own if isinstance(event, StepRecord)]
        ends = [event for event in own if isinstance(event, TaskEnd)]
        aside = [event for event in own if isinstance(event, TaskFailed)]
        row = TaskRow(position, task_id)
        row.opening = steps[0].prefix[-1].content if steps else ""
        row.steps, row.candidates = len(steps), sum(len(step.candidates) for step in steps)
        row.pairs = sum(step.pair is not None for step in steps)
        row.risen = sum(step.outcome == "risen" for step in steps)
        row.exhausted = sum(step.outcome == "exhausted" for step in steps)
        if steps:
            row.first = steps[0].baseline.reward
            row.last = steps[-1].candidate(steps[-1].advance).reward
        if ends:
            row.state, row.outcome = "finished", ends[-1].outcome
        elif aside:
            row.state, row.why = "set aside", aside[-1].reason
        rows.append(row)
    return rows


@st.composite
def runs_of_some_tasks(draw: st.DrawFn) -> list[Event]:
    """Events of a few tasks, in any order between tasks, with a resume or a waste here and there."""
    left = []
    for number in range(draw(st.integers(1, 6))):
        own: list[Event] = []
        task, opening = f"t{draw(st.integers(0, 9))}-{number}", (Message("user", f"Task {number} of it"),)
        if draw(st.booleans()):
            own.append(Baseline(task, 1, Estimate((draw(st.sampled_from([0.0, 0.5, 1.0])),)), Usage(), 1))
        for step in range(1, draw(st.integers(0, 3)) + 1):
            drawn = [candidate(at, *draw(outcomes)) for at in range(draw(st.integers(1, 3)))]
            how: Any = draw(st.sampled_from(["risen", "exhausted", "complete"]))
            paired = len(drawn) > 1 and draw(st.booleans())
            whole = record(
                *drawn,
                outcome=how,
                pair=PairChoice(0, 1) if paired else None,
                no_pair=None if paired else "single_candidate",
            )
            whole = msgspec.structs.replace(
                whole, baseline=Estimate(draw(outcomes)), advance=draw(st.integers(0, len(drawn) - 1))
            )
            own.append(_of(whole, task, step, opening))
        own += draw(
            st.sampled_from(
                [
                    [],
                    [TaskEnd(task, 1, 0.25, False)],
                    [TaskFailed(task, "a fault")],
                    [TaskFailed(task, "a fault", "server"), TaskEnd(task, 1, 1.0, True)],
                ]
            )
        )
        left.append(own)
    found: list[Event] = []
    while left:
        if draw(st.integers(0, 5)) == 0:
            found.append(draw(st.sampled_from([Resumed({}, ()), Wasted("aborted", Usage(1, 0, 1), "s")])))
        at = draw(st.integers(0, len(left) - 1))
        found += left[at][:1]
        left[at : at + 1] = [left[at][1:]] if left[at][1:] else []
    return found


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs_of_some_tasks(), st.integers(0, 6), st.integers(1, 6))
def test_the_table_is_what_whole_events_come_to_read_through_or_early(
    tmp_path: Path, made: list[Event], offset: int, limit: int
) -> None:
    folder = journal_of(tmp_path / f"run-{uuid.uuid4()}", iter(made))
    with Journal.open(folder) as journal, TaskTable() as table:
        early = early_page(journal, TaskQuery(offset=offset, limit=limit))
        index = RunIndex(journal, table, 0)
        index.catch_up()
        found = table.page(TaskQuery(offset=offset, limit=limit))
        expected = plain_rows(made)
        for line in (*found.rows, *(early.rows if early else [])):
            assert line[0] is not None
            assert line[0].seconds >= 0
            line[0].seconds = 0.0
        assert [line[0] for line in found.rows] == expected[offset : offset + limit]
        assert early == found or (early is None and not found.rows)
        for task_id in (*(row.id for row in expected), "no such task"):
            assert early_neighbours(journal, task_id) == table.neighbours(0, task_id)
        assert early_page(journal, TaskQuery(q="t")) is None
        assert early_page(journal, TaskQuery(down=True)) is None
        for at in index.sums.plots().at_step:
            steps = [event for event in made if isinstance(event, StepRecord) and event.step == at.step]
            assert at.count == len(steps)
            assert at.before == pytest.approx(mean(step.baseline.reward for step in steps))
            assert at.after == pytest.approx(mean(step.candidate(step.advance).reward for step in steps))
            assert at.candidates == pytest.approx(mean(len(step.candidates) for step in steps))
        ends = sum(isinstance(event, TaskEnd) for event in made)
        recorded = recorded_of(journal)
        assert recorded is not None
        assert recorded[:2] == (sum(row.steps for row in expected), ends)


def test_a_summary_is_told_early_where_it_is_of_all_that_was_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with Journal.create(folder, HEADER) as writer:
        writer.write([event_row(event) for event in events(20)])
        assert _early(folder) is None
        with Journal.open(folder) as journal:
            summary = summary_of(journal)
        write_summary(summary, folder)
        assert _early(folder) == summary
        with Runs([folder]) as runs:
            first = runs.tasks(TaskQuery(limit=3))
            assert runs.progress().read == 0
            assert runs.figures(0, "decisions").plots is not None
            progress = runs.progress()
            assert progress.read == progress.recorded > 0
            assert runs.tasks(TaskQuery(limit=3)) == first
            # What is recorded from now on is shown when the page is loaded again.
            writer.append(TaskFailed("task-0", "again", "server"))
            writer.append(TaskEnd("task-11", 1, 1.0, truncated=False))
            assert runs.tasks(TaskQuery(limit=12)).rows[11][0].state == "open"  # type: ignore[union-attr]
            runs.runs()
            assert runs.figures(0, "early").summary is None
            assert runs.tasks(TaskQuery(limit=12)).rows[11][0].state == "finished"  # type: ignore[union-attr]
    assert _early(folder) is None
    # An event that no count shows, after the summary was written.
    with Journal.open(folder) as journal:
        write_summary(summary_of(journal), folder)
    os.utime(folder / SUMMARY_NAME, (1.0, 1.0))
    assert _early(folder) is None


def _early(folder: Path) -> RunSummary | None:
    with Runs([folder]) as runs:
        return runs.figures(0, "early").summary


def test_a_damaged_journal_is_named_and_a_missing_one_too(tmp_path: Path, run: Path) -> None:
    with sqlite3.connect(run / "journal.sqlite") as connection:
        connection.execute("UPDATE event SET body = x'7b' WHERE seq = 3")
    with Runs([run]) as runs, pytest.raises(JournalError, match="rro check"):
        runs.read()
    with pytest.raises(ConfigError, match="holds no run"):
        Runs([tmp_path / "nothing"])
