"""A run's events into one line a task, and into the sums behind the plots on the way. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from rro_sdk.page.figures import FigureSums
from rro_sdk.page.reading import Facts, StepFacts, StepWorth
from rro_sdk.types import TaskEnd, TaskFailed

State = Literal["open", "finished", "set aside"]

OPENING_CHARACTERS = 240
"""Of a task's opening, for the table and its search."""


class TaskRow(msgspec.Struct, gc=False):
    """One line of the table.

    Attributes:
        position: in which the run came to the task, from 0.
        id: the task's.
        opening: how the task was told, its beginning.
        state: what became of it.
        outcome: of its trajectory, in [0, 1]; None for one that has not ended.
        steps: explored ones; of a method that searches, records.
        candidates: drawn at them.
        pairs: that they yielded.
        risen: steps that ended with a candidate that rose.
        exhausted: steps that ended without one.
        first: process reward of the bare task, r_0.
        last: process reward after the last step.
        seconds: between its first event and its last.
        why: it was set aside.
    """

    position: int
    id: str
    opening: str = ""
    state: State = "open"
    outcome: float | None = None
    steps: int = 0
    candidates: int = 0
    pairs: int = 0
    risen: int = 0
    exhausted: int = 0
    first: float | None = None
    last: float | None = None
    seconds: float = 0.0
    why: str = ""


@dataclass(slots=True)
class _Open:
    row: TaskRow
    began: float


class TaskRows:
    """Rows that grow with the events.

    Args:
        sums: that count the same events.
        first: position of the first task that is met.
    """

    def __init__(self, sums: FigureSums, first: int = 0) -> None:
        self._sums = sums
        self._first = first
        self._tasks: dict[str, _Open] = {}
        self._changed: dict[str, TaskRow] = {}

    def add(self, at: float, facts: Facts) -> None:
        """Count an event that was recorded at that time; they come in their order."""
        task_id = facts.task_id
        if not task_id:
            return
        task = self._tasks.get(task_id)
        if task is None:
            row = TaskRow(self._first + len(self._tasks), task_id)
            task = self._tasks[task_id] = _Open(row, at)
        row = self._changed[task_id] = task.row
        if at - task.began > row.seconds:
            row.seconds = at - task.began
        if isinstance(facts, StepFacts):
            worth = facts.worth()
            self._sums.add_step(facts, worth)
            _add_step(row, facts, worth)
        elif isinstance(facts, TaskEnd):
            self._sums.add_end()
            row.state, row.outcome, row.why = "finished", facts.outcome, ""
        elif isinstance(facts, TaskFailed) and row.state != "finished":
            row.state, row.why = "set aside", facts.reason

    def changed(self) -> Iterable[TaskRow]:
        """Rows that are new or grew since the last call."""
        found, self._changed = self._changed, {}
        return found.values()


def _add_step(row: TaskRow, facts: StepFacts, worth: StepWorth) -> None:
    if not row.steps:
        row.first = worth.before.mean
    if not row.opening:
        row.opening = " ".join(facts.opening().split())[:OPENING_CHARACTERS]
    row.steps += 1
    row.candidates += len(worth.candidates)
    row.pairs += facts.no_pair is None
    if facts.outcome == "risen":
        row.risen += 1
    elif facts.outcome == "exhausted":
        row.exhausted += 1
    row.last = worth.own.mean
