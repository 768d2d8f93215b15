"""Worlds with known true values, in which steps are simulated.

A place is a prefix of which is known what a rollout from it is worth. Its actions lead to places of their
own, worth on average what it is worth itself, for it is the policy that draws them. `spread` says how much
they differ: their values have that share of the largest variance that there could be. 0 is the null (every
candidate is exactly as good as its prefix), 1 the widest (every action decides the outcome). Two outcomes
after one action are then correlated by `spread`, which is how a run tells it (`recorded.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rro_sdk.errors import ConfigError


class Place:
    """A prefix. Two are the same when they are the same object.

    Attributes:
        value: what a rollout from here is worth on average, in [0, 1].
        ended: the episode is over; `value` is its outcome.
        mark: the world's own number for it, such as the turns that are left.
        weights: chance of each of the world's outcomes, where they are not 0 and 1.
    """

    __slots__ = ("ended", "mark", "value", "weights")

    def __init__(
        self, value: float, *, ended: bool = False, mark: int = 0, weights: Sequence[float] = ()
    ) -> None:
        self.value, self.ended, self.mark, self.weights = value, ended, mark, weights


class World(Protocol):
    """Where steps are simulated.

    Attributes:
        success_rate: mean outcome of a rollout from a start.
        spread: how much candidates differ, in [0, 1].
        whole: a trajectory is followed to its end; else every step has a start of its own.
    """

    @property
    def success_rate(self) -> float: ...
    @property
    def spread(self) -> float: ...
    @property
    def whole(self) -> bool: ...

    def start(self, rng: random.Random) -> Place:
        """A prefix to explore."""
        ...

    def after(self, place: Place, siblings: Sequence[Place], rng: random.Random) -> Place:
        """Where one action leads; one of `siblings`, drawn before it, if it is the same action."""
        ...

    def outcome(self, place: Place, rng: random.Random) -> float:
        """How one rollout ends, in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class KnownRate:
    """Every start has one success rate; outcomes are 0 or 1.

    Attributes:
        success_rate: of a rollout from the start, in [0, 1].
        spread: how much candidates differ, in [0, 1]. A candidate's value is drawn from Beta(k v, k (1 - v))
            around its prefix's v, with 1 / (k + 1) = spread.
        turns: length of an episode, which is then explored to its end; None takes every step from a start.

    Raises:
        ConfigError: a setting out of its range; the field is named.
    """

    success_rate: float
    spread: float = 0.3
    turns: int | None = None

    def __post_init__(self) -> None:
        for name in ("success_rate", "spread"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"plan {name} must be in [0, 1], not {value}")
        if self.turns is not None and self.turns < 1:
            raise ConfigError(f"plan turns must be at least 1, not {self.turns}")

    @property
    def whole(self) -> bool:
        return self.turns is not None

    def start(self, rng: random.Random) -> Place:
        return Place(self.success_rate, mark=self.turns or 0)

    def after(self, place: Place, siblings: Sequence[Place], rng: random.Random) -> Place:
        # No two actions are alike here: equal ones are the policy's business.
        if place.mark == 1:
            return Place(float(rng.random() < place.value), ended=True)
        return Place(beta_around(place.value, self.spread, rng), mark=max(0, place.mark - 1))

    def outcome(self, place: Place, rng: random.Random) -> float:
        return float(rng.random() < place.value)


@dataclass(frozen=True, slots=True)
class Null:
    """A world in which every candidate is exactly as good as its prefix, and none ends the episode."""

    world: World

    @property
    def success_rate(self) -> float:
        return self.world.success_rate

    @property
    def spread(self) -> float:
        return 0.0

    @property
    def whole(self) -> bool:
        return False

    def start(self, rng: random.Random) -> Place:
        return self.world.start(rng)

    def after(self, place: Place, siblings: Sequence[Place], rng: random.Random) -> Place:
        return Place(place.value, mark=place.mark, weights=place.weights)

    def outcome(self, place: Place, rng: random.Random) -> float:
        return self.world.outcome(place, rng)


def beta_around(value: float, spread: float, rng: random.Random) -> float:
    """A value in [0, 1] of mean `value` and variance `spread` value (1 - value)."""
    if spread == 0.0 or value in (0.0, 1.0):
        return value
    if spread == 1.0:
        return float(rng.random() < value)
    k = 1.0 / spread - 1.0
    # An alpha that underflows to 0 is a value at that end.
    low, high = k * value, k * (1.0 - value)
    if low <= 0.0 or high <= 0.0:
        return float(low > 0.0)
    return rng.betavariate(low, high)
