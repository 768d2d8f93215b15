"""What the plots of a run show, from sums that follow it event by event. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rro_sdk._pools import has_own_outcomes, pool_of
from rro_sdk.page.reading import StepFacts, StepWorth
from rro_sdk.stats import Rises, binary_nulls, candidates_nulls

MOST_STEPS = 40
"""Step numbers that are plotted; further ones are counted in `steps_beyond`."""

MOST_POOLS = 400
"""Different sets of graded outcomes of a step number whose null is computed: of more, so many of them."""


class AtStep(msgspec.Struct, frozen=True):
    """All steps of one number.

    Attributes:
        step: the number, from 1.
        count: trajectories that got so far.
        before: mean process reward of their prefixes, r_{t-1}.
        after: mean process reward with their own action, r_t.
        rise: mean of the difference, with the half-width of its 95 % interval (normal; trajectories are
            independent); of one trajectory there is none.
        candidates: mean number drawn.
        null: the same if candidates were exactly as good as their prefix; None where it is not known yet.
    """

    step: int
    count: int
    before: float
    after: float
    rise: tuple[float, float | None]
    candidates: float
    null: float | None = None


class Plots(msgspec.Struct, frozen=True):
    """What is drawn from the decisions of a run.

    Attributes:
        at_step: by step number; empty for a method that follows no trajectory.
        steps_beyond: steps with a higher number than are drawn.
        drawn: how many steps drew so many candidates, by that number.
    """

    at_step: list[AtStep]
    steps_beyond: int
    drawn: dict[int, int]


@dataclass(slots=True)
class _Sums:
    count: int = 0
    before: float = 0.0
    after: float = 0.0
    rise: float = 0.0
    rise_squared: float = 0.0
    candidates: int = 0
    binary: Counter[tuple[int, int]] = field(default_factory=Counter)
    pools: dict[tuple[float, ...], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Null:
    """Expected candidates of a method's steps, if none were better. `rises` is None for the paper's rule."""

    rollouts: int
    max_candidates: int
    min_candidates: int
    rises: Rises | None = None

    def binary(self, steps: Mapping[tuple[int, int], int]) -> dict[tuple[int, int], float]:
        """By successes and outcomes, of a whole run."""
        return binary_nulls(steps, self.rollouts, self.max_candidates, self.min_candidates, rises=self.rises)

    def graded(self, pools: Sequence[Sequence[float]]) -> list[float]:
        """Of steps whose outcomes are not all 0 or 1."""
        return candidates_nulls(
            pools, self.rollouts, self.max_candidates, self.min_candidates, rises=self.rises
        )


class FigureSums:
    """Sums over a run's steps, by step number.

    Attributes:
        steps: steps and records so far.
        finished: tasks whose trajectory ended.
        pairs: pairs so far.

    Args:
        reestimates: equal candidates have rollouts of their own (rule 9).
    """

    def __init__(self, *, reestimates: bool = False) -> None:
        self._reestimates = reestimates
        self.steps = self.finished = self.pairs = 0
        self._beyond = 0
        self._at: dict[int, _Sums] = {}
        self._drawn: Counter[int] = Counter()

    def add_end(self) -> None:
        """Count a task whose trajectory ended."""
        self.finished += 1

    def add_step(self, facts: StepFacts, worth: StepWorth) -> None:
        """Count a step.

        Args:
            facts: of the step.
            worth: its `StepFacts.worth()`, which the caller needs too.
        """
        drawn = len(worth.candidates)
        self.steps += 1
        self.pairs += facts.no_pair is None
        self._drawn[drawn] += 1
        if facts.record is not None:  # no trajectory's own step
            return
        if facts.step > MOST_STEPS:
            self._beyond += 1
            return
        sums = self._at.get(facts.step)
        if sums is None:
            sums = self._at[facts.step] = _Sums()
        before, after = worth.before.mean, worth.own.mean
        rise = after - before
        sums.count += 1
        sums.before += before
        sums.after += after
        sums.rise += rise
        sums.rise_squared += rise * rise
        sums.candidates += drawn
        _, total, count, binary = worth.before
        for candidate, each in zip(facts.candidates, worth.candidates, strict=True):
            if has_own_outcomes(candidate, self._reestimates):
                total, count, binary = total + each.total, count + each.number, binary and each.binary
        if binary:
            sums.binary[int(total), count] += 1
        else:
            pool = tuple(sorted(pool_of(facts, self._reestimates)))
            sums.pools[pool] = sums.pools.get(pool, 0) + 1

    def plots(self, null: Null | None = None) -> Plots:
        """What there is to draw.

        Args:
            null: expected candidates of steps; without it no null is drawn.
        """
        at_step = []
        every = sum((sums.binary for sums in self._at.values()), Counter[tuple[int, int]]())
        binary = {} if null is None else null.binary(every)
        for step, sums in sorted(self._at.items()):
            n, mean = sums.count, sums.rise / sums.count
            half = None
            if n > 1:
                variance = max(0.0, (sums.rise_squared - n * mean * mean) / (n - 1))
                half = 1.96 * math.sqrt(variance / n)
            at_step.append(
                AtStep(
                    step=step,
                    count=n,
                    before=sums.before / n,
                    after=sums.after / n,
                    rise=(mean, half),
                    candidates=sums.candidates / n,
                    null=None if null is None else _mean_null(sums, binary, null),
                )
            )
        return Plots(at_step, self._beyond, dict(sorted(self._drawn.items())))


def null_of(method: dict[str, Any], rises: Rises | None) -> Null:
    """The null under a method's m, cap and rule."""
    return Null(method["rollouts"], method["max_candidates"], method["min_candidates"], rises)


def _mean_null(sums: _Sums, binary: Mapping[tuple[int, int], float], null: Null) -> float:
    """The mean over steps; of those with graded outcomes from some of them, where many differ."""
    kept = sorted(sums.pools)
    if len(kept) > MOST_POOLS:
        kept = [kept[at * len(kept) // MOST_POOLS] for at in range(MOST_POOLS)]
    graded, weight = sum(sums.pools.values()), sum(sums.pools[pool] for pool in kept)
    total = math.fsum(count * binary[key] for key, count in sums.binary.items())
    if kept:
        values = zip(kept, null.graded(kept), strict=True)
        total += graded * math.fsum(sums.pools[pool] * value for pool, value in values) / weight
    return total / sums.count
