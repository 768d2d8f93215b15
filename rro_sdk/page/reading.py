"""A journal's decisions without their texts, which is all that tables and plots need.

Texts are most of a journal. They are skipped by the decoder and never become Python objects, so that a run of
100,000 steps is read in about a second.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rro_sdk._numbers import exact_mean
from rro_sdk.errors import JournalError
from rro_sdk.journal import Journal
from rro_sdk.types import (
    Discarded,
    Message,
    NoPairReason,
    Resumed,
    Retried,
    Searched,
    StepOutcome,
    TaskEnd,
    TaskFailed,
    VersionChanged,
    Wasted,
)

_messages = msgspec.json.Decoder(list[msgspec.Raw])
_message = msgspec.json.Decoder(Message)


class Outcomes(NamedTuple):
    """What a list of outcomes comes to: mean, sum, number, and whether all are 0 or 1."""

    mean: float
    total: float
    number: int
    binary: bool


@lru_cache(maxsize=1 << 16)
def outcomes_of(outcomes: tuple[float, ...]) -> Outcomes:
    """Pure, so remembered: a run has many estimates and few different ones."""
    mean, binary = exact_mean(outcomes), all(outcome in (0.0, 1.0) for outcome in outcomes)
    return Outcomes(mean, math.fsum(outcomes), len(outcomes), binary)


class Worth(msgspec.Struct, frozen=True, gc=False):
    """An estimate's outcomes; `terminal` where the action ended the episode."""

    outcomes: tuple[float, ...]
    terminal: bool = False


class Sibling(msgspec.Struct, frozen=True, gc=False):
    """A candidate's worth, and the earlier equal one whose rollouts those may be."""

    estimate: Worth
    duplicate_of: int | None = None


class StepWorth(NamedTuple):
    """What a step's estimates come to: of the prefix, of the action with which the trajectory goes on, and of
    each candidate."""

    before: Outcomes
    own: Outcomes
    candidates: list[Outcomes]


class StepFacts(msgspec.Struct, frozen=True, gc=False, tag="StepRecord"):
    """What a `StepRecord` says beside its texts; the prefix stays as it was written."""

    task_id: str
    step: int
    prefix: msgspec.Raw
    baseline: Worth
    candidates: tuple[Sibling, ...]
    outcome: StepOutcome
    no_pair: NoPairReason | None
    advance: int
    prefix_action: Sibling | None = None
    record: int | None = None

    def worth(self) -> StepWorth:
        """What its estimates come to."""
        candidates = [outcomes_of(each.estimate.outcomes) for each in self.candidates]
        if self.advance >= 0:
            own = candidates[self.advance]
        else:
            assert self.prefix_action is not None
            own = outcomes_of(self.prefix_action.estimate.outcomes)
        return StepWorth(outcomes_of(self.baseline.outcomes), own, candidates)

    def opening(self) -> str:
        """The last message of the prefix: at the first step, the task as the policy was told it."""
        prefix = _messages.decode(self.prefix)
        return _message.decode(prefix[-1]).content if prefix else ""


class BaselineFacts(msgspec.Struct, frozen=True, gc=False, tag="Baseline"):
    """Whose a `Baseline` is."""

    task_id: str


Facts = (
    StepFacts
    | BaselineFacts
    | Discarded
    | Searched
    | TaskEnd
    | TaskFailed
    | Wasted
    | Retried
    | Resumed
    | VersionChanged
)
"""An event; of a step and of a baseline, its facts."""

_decoder: msgspec.json.Decoder[Facts] = msgspec.json.Decoder(Facts)


def facts_after(journal: Journal, seq: int) -> Iterator[tuple[int, float, Facts]]:
    """Number, time and facts of every event after the one numbered `seq`, in order.

    Raises:
        JournalError: the journal is damaged.
    """
    return _decoded(journal, "seq > ?", seq)


def facts_of(journal: Journal, task_ids: Sequence[str]) -> Iterator[tuple[int, float, Facts]]:
    """The same of every event of some tasks."""
    return _decoded(
        journal, "task_id IN (SELECT value FROM json_each(?))", msgspec.json.encode(task_ids).decode()
    )


def _decoded(journal: Journal, where: str, value: Any) -> Iterator[tuple[int, float, Facts]]:
    for number, at, body in rows(
        journal.path, f"SELECT seq, at, body FROM event WHERE {where} ORDER BY seq", (value,)
    ):
        try:
            yield number, at, _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise JournalError(
                f"{journal.path} is damaged ({type(error).__name__}); see `rro check`"
            ) from None


def rows(path: Path, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Rows of a journal's file, over a connection that cannot write.

    Raises:
        JournalError: the file cannot be read.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            yield from connection.execute(query, values)
        finally:
            connection.close()
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        raise JournalError(f"{path} cannot be read ({name}); see `rro check`") from None
