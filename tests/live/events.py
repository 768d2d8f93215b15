"""Random runs that could be: events and replies of several tasks, in an order that a sampler could record."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from rro_sdk.draws import DrawKey
from rro_sdk.journal import RunHeader
from rro_sdk.journal.rows import Row, event_row, task_row, turn_row
from rro_sdk.recording import Turn
from rro_sdk.types import (
    Action,
    Baseline,
    Candidate,
    Discarded,
    Estimate,
    Event,
    FaultOf,
    Message,
    Observation,
    PairChoice,
    Resumed,
    Retried,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
    VersionChanged,
    Wasted,
)

ROLLOUTS = 3
SECRET = "what nobody but the model is to see"

HEADER = RunHeader(
    created="2026-01-01T00:00:00+00:00",
    seed=0,
    method={
        "name": "rising_reward",
        "rollouts": ROLLOUTS,
        "max_candidates": 4,
        "min_candidates": 1,
        "reestimate_duplicates": False,
    },
    environment="toy",
    sampling={},
    servers={},
    versions={},
)


@dataclass(frozen=True)
class Recorded:
    """What a run left: each event, with the replies that were recorded before it."""

    task_ids: tuple[str, ...]
    rows: tuple[Row | Event, ...]

    @property
    def events(self) -> list[Event]:
        return [row for row in self.rows if not isinstance(row, tuple)]

    def journal_rows(self) -> list[Row]:
        begun = [task_row(task_id, b"digest") for task_id in self.task_ids]
        return begun + [row if isinstance(row, tuple) else event_row(row) for row in self.rows]


def runs(*, graded: bool = False) -> st.SearchStrategy[Recorded]:
    """Runs of up to four tasks; with `graded` outcomes are any number, else 0 or 1."""
    return _runs(st.floats(0, 1) if graded else st.sampled_from([0.0, 1.0]))


@st.composite
def _runs(draw: st.DrawFn, outcome: st.SearchStrategy[float]) -> Recorded:
    task_ids = tuple(f"q{number}" for number in range(draw(st.integers(0, 4))))
    pending = [_task(draw, task_id, outcome) for task_id in task_ids]
    rows: list[Row | Event] = []
    while any(pending):
        which = draw(st.sampled_from([at for at, left in enumerate(pending) if left]))
        rows.append(pending[which].pop(0))
        if draw(st.integers(0, 9)) == 0:
            rows.append(draw(_OTHERS))
    return Recorded(task_ids, tuple(rows))


_USAGES = st.builds(
    lambda cached, more, made: Usage(cached + more, cached, made), *[st.integers(0, 50) for _ in range(3)]
)
_OTHERS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Wasted, st.sampled_from(["aborted", "retried", "reload"]), _USAGES, st.just("s"), st.just(True)
    ),
    st.just(Wasted("aborted", Usage(), "s", known=False)),
    st.just(Retried("s", "ServerTimeout")),
    st.just(VersionChanged("a", "b")),
)


def _task(draw: st.DrawFn, task_id: str, outcome: st.SearchStrategy[float]) -> list[Row | Event]:
    rows: list[Row | Event] = []
    attempt = 0
    estimate = _estimate(draw, outcome)
    rows += _replies(draw, task_id, attempt, 0, 0)
    rows.append(Baseline(task_id, 1, estimate, Usage(), ROLLOUTS))
    steps = draw(st.integers(0, 3))
    for step in range(1, steps + 1):
        if draw(st.integers(0, 7)) == 0:
            rows += _replies(draw, task_id, attempt, step, 0)
            rows.append(Discarded(task_id, step, ("a", "b"), Usage(5, 0, 5), attempt))
            attempt += 1
        record = _step(draw, task_id, step, attempt, estimate, outcome)
        for candidate in range(len(record.candidates) + draw(st.integers(0, 1))):  # one too many: speculative
            rows += _replies(draw, task_id, attempt, step, candidate)
        rows.append(record)
        estimate = record.candidate(record.advance).estimate
    end = draw(st.sampled_from(["end", "end", "open", "server", "environment", "taken up again"]))
    faults: dict[str, FaultOf] = {"server": "server", "environment": "environment"}
    if end in faults:
        rows.append(TaskFailed(task_id, "why", faults[end]))
    if end == "taken up again":
        rows += [TaskFailed(task_id, "why", "server"), Resumed({}, ())]
    if end in ("end", "taken up again"):
        rows.append(TaskEnd(task_id, steps, draw(outcome), False))
    return rows


def _step(
    draw: st.DrawFn,
    task_id: str,
    step: int,
    attempt: int,
    baseline: Estimate,
    outcome: st.SearchStrategy[float],
) -> StepRecord:
    candidates: list[Candidate] = []
    for index in range(draw(st.integers(1, 4))):
        same = draw(st.integers(0, 5)) == 0 and index > 0
        ends = draw(st.integers(0, 5)) == 0
        estimate = (
            candidates[0].estimate
            if same
            else Estimate((draw(outcome),), terminal=True)
            if ends
            else _estimate(draw, outcome)
        )
        action = Action(SECRET, SECRET)
        candidates.append(Candidate(index, action, Observation(SECRET), estimate, 0 if same else None))
    paired = draw(st.booleans())
    return StepRecord(
        task_id,
        step,
        (Message("user", SECRET),),
        baseline,
        tuple(candidates),
        draw(st.sampled_from(["risen", "exhausted"])),
        PairChoice(0, len(candidates) - 1) if paired else None,
        None if paired else draw(st.sampled_from(["single_candidate", "equal_rewards"])),
        draw(st.integers(0, len(candidates) - 1)),
        "a",
        Usage(1, 0, 1),
        2,
        attempt=attempt,
    )


def _estimate(draw: st.DrawFn, outcome: st.SearchStrategy[float]) -> Estimate:
    return Estimate(tuple(draw(outcome) for _ in range(ROLLOUTS)))


def _replies(draw: st.DrawFn, task_id: str, attempt: int, step: int, candidate: int) -> list[Row | Event]:
    rows: list[Row | Event] = []
    for rollout in range(-1, ROLLOUTS):
        for turn in range(draw(st.integers(0, 2))):
            key = DrawKey(0, task_id, step, candidate, rollout, turn, attempt)
            rows.append(turn_row(key, Turn(Action(SECRET, SECRET), b"digest", draw(_USAGES), ("a",), "s")))
    return rows
