"""What was seen of a step's prefix: the outcomes of its baseline and candidates, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Estimated(Protocol):
    """An estimate."""

    @property
    def outcomes(self) -> tuple[float, ...]: ...
    @property
    def terminal(self) -> bool: ...


class Drawn(Protocol):
    """A candidate."""

    @property
    def estimate(self) -> Estimated: ...
    @property
    def duplicate_of(self) -> int | None: ...


class Decided(Protocol):
    """A step, as an event or as what the run page reads of one."""

    @property
    def baseline(self) -> Estimated: ...
    @property
    def candidates(self) -> Sequence[Drawn]: ...


def has_own_outcomes(candidate: Drawn, reestimates: bool) -> bool:
    """Whether they are not an earlier equal candidate's, seen already (rule 9).

    Args:
        candidate: of a step.
        reestimates: the method's `reestimate_duplicates`.
    """
    return reestimates or candidate.estimate.terminal or candidate.duplicate_of is None


def pool_of(step: Decided, reestimates: bool) -> tuple[float, ...]:
    """Outcomes seen from a step's prefix on; under the null they are all alike.

    Args:
        step: of a trajectory.
        reestimates: the method's `reestimate_duplicates`.
    """
    own = [
        outcome
        for each in step.candidates
        if has_own_outcomes(each, reestimates)
        for outcome in each.estimate.outcomes
    ]
    return (*step.baseline.outcomes, *own)
