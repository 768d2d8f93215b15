"""Numbers that say whether a count means anything: nulls, odds, intervals, and what samples are worth.

Nulls and odds are in `_nulls.py`, from where they are exported here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

import msgspec

from rro_sdk._nulls import (
    PairOdds,
    Rises,
    binary_nulls,
    candidates_null,
    candidates_null_binary,
    candidates_nulls,
    pair_odds,
)

__all__ = [
    "Belief",
    "PairOdds",
    "Rises",
    "beta_interval",
    "binary_nulls",
    "bootstrap_interval",
    "bootstrap_ratios",
    "candidates_null",
    "candidates_null_binary",
    "candidates_nulls",
    "effective_sample_size",
    "intraclass_correlation",
    "pair_odds",
    "probability_at_least",
    "wilson_interval",
]


def bootstrap_interval(
    values: Sequence[float], *, level: float = 0.95, seed: int = 0, resamples: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean.

    Args:
        values: the sample; at least one.
        level: coverage, in (0, 1).
        seed: seed of the resampling.
        resamples: bootstrap samples.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("a bootstrap interval needs at least one value")
    rng = random.Random(seed)
    means = sorted(math.fsum(rng.choices(values, k=len(values))) / len(values) for _ in range(resamples))
    tail = (1 - level) / 2
    return means[int(tail * resamples)], means[min(resamples - 1, int((1 - tail) * resamples))]


class Belief(msgspec.Struct, frozen=True):
    """What is believed of a success rate: Beta(a, b), or a known value where `value` is set."""

    a: float = 1.0
    b: float = 1.0
    value: float | None = None

    @classmethod
    def of_counts(cls, total: float, count: int) -> Belief:
        """The posterior after `count` outcomes in [0, 1] that sum to `total`, from a uniform prior."""
        return cls(1.0 + total, 1.0 + count - total)

    @classmethod
    def exactly(cls, value: float) -> Belief:
        return cls(value=value)


@lru_cache(maxsize=4096)
def probability_at_least(left: Belief, right: Belief) -> float:
    """P(left >= right) for independent beliefs, within 1e-4. Pure, so remembered: counts repeat."""
    if left.value is not None:
        return float(left.value >= right.value) if right.value is not None else _below(right, left.value)
    if right.value is not None:
        return 1.0 - _below(left, right.value)
    if left == right:
        return 0.5  # exactly, so that equal counts rise at p = 1/2 as equal means do
    below, total = 0.0, 0.0
    for x, y in zip(_masses(left), _masses(right), strict=True):
        total += x * (below + y / 2)  # two draws in one cell are as likely to lie either way
        below += y
    return total


def _below(belief: Belief, value: float) -> float:
    """P(belief < value)."""
    cell, rest = divmod(value * _CELLS, 1.0)
    masses = _masses(belief)
    return sum(masses[: int(cell)]) + (rest * masses[int(cell)] if rest else 0.0)


_CELLS = 512


@lru_cache(maxsize=1024)
def _masses(belief: Belief) -> tuple[float, ...]:
    """The belief as probabilities of equal cells of [0, 1]."""
    logs = [
        (belief.a - 1) * math.log(x) + (belief.b - 1) * math.log1p(-x)
        for x in ((index + 0.5) / _CELLS for index in range(_CELLS))
    ]
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def wilson_interval(successes: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a success rate (Wilson 1927).

    Args:
        successes: in [0, count].
        count: trials, at least 1.
        level: coverage, in (0, 1).

    Raises:
        ValueError: counts or level out of range.
    """
    if count < 1 or not 0 <= successes <= count or not 0 < level < 1:
        raise ValueError(f"no Wilson interval for {successes} of {count} at level {level}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = successes / count
    centre = rate + z * z / (2 * count)
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def beta_interval(total: float, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Equal-tailed credible interval of a process reward: Beta(1 + S, 1 + n - S), from a uniform prior.

    Exact for outcomes of 0 or 1; for others an approximation on the wide side, since no outcomes in [0, 1]
    vary more than those.

    Args:
        total: sum of the outcomes, in [0, count].
        count: outcomes; with none it is the prior's.
        level: coverage, in (0, 1).

    Raises:
        ValueError: counts or level out of range.
    """
    if count < 0 or not 0 <= total <= count or not 0 < level < 1:
        raise ValueError(f"no Beta interval for {total} of {count} at level {level}")
    a, b = 1.0 + total, 1.0 + count - total
    tail = (1 - level) / 2
    return _beta_quantile(tail, a, b), _beta_quantile(1 - tail, a, b)


def _beta_quantile(chance: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):  # halves the interval each time: 1e-15
        middle = (low + high) / 2
        low, high = (middle, high) if _beta_below(middle, a, b) < chance else (low, middle)
    return (low + high) / 2


def _beta_below(x: float, a: float, b: float) -> float:
    """P(Beta(a, b) < x), by the continued fraction of the incomplete beta function (DLMF 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, the other tail's converges fast
        return 1.0 - _beta_below(1 - x, b, a)
    front = math.exp(
        a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))  # modified Lentz
    fraction = d
    for m in range(1, 500):
        before = fraction
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + term * d)
            c = 1.0 + term / c
            fraction *= c * d
        if abs(fraction - before) < 1e-14 * abs(fraction):
            break
    return front * fraction / a


def intraclass_correlation(groups: Sequence[Sequence[float]]) -> float:
    """Correlation of two values of one group, by one-way analysis of variance (Fisher), not below 0.

    Args:
        groups: values by group; a group of one tells about the others' mean alone. 0 where nothing varies.
    """
    groups = [group for group in groups if group]
    count = sum(map(len, groups))
    if len(groups) < 2 or count == len(groups):
        return 0.0
    mean = math.fsum(map(math.fsum, groups)) / count
    means = [math.fsum(group) / len(group) for group in groups]
    between = math.fsum(len(group) * (own - mean) ** 2 for group, own in zip(groups, means, strict=True)) / (
        len(groups) - 1
    )
    within = math.fsum(
        (value - own) ** 2 for group, own in zip(groups, means, strict=True) for value in group
    ) / (count - len(groups))
    size = (count - math.fsum(len(group) ** 2 for group in groups) / count) / (len(groups) - 1)
    total = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / total)) if total > 0 else 0.0


def effective_sample_size(groups: Sequence[Sequence[float]]) -> float:
    """How many independent values tell as much about the mean as these, which come in groups.

    Kish's design effect: n values in groups of mean size s with intraclass correlation r are worth
    n / (1 + (s - 1) r). Steps of one task, or rollouts after one action, are such groups.

    Args:
        groups: values by group; s is weighted by size, since large groups repeat themselves more.
    """
    count = sum(map(len, groups))
    if not count:
        return 0.0
    size = math.fsum(len(group) ** 2 for group in groups) / count
    return count / (1.0 + (size - 1.0) * intraclass_correlation(groups))


def bootstrap_ratios(
    units: Mapping[tuple[float, ...], int],
    ratios: Sequence[tuple[int, int]],
    *,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = 1000,
) -> list[tuple[float, float] | None]:
    """Percentile bootstrap intervals of ratios of totals, such as pairs over rollouts.

    Independent units are redrawn, not what is in them: a trajectory is one unit, whatever its steps. Each
    comes Poisson(1) times in a resample (Poisson bootstrap), so that equal units are redrawn together.

    Args:
        units: how often each tuple of amounts occurred.
        ratios: positions in the tuple of numerator and denominator.
        level: coverage, in (0, 1).
        seed: seed of the resampling.
        resamples: bootstrap samples.

    Returns:
        One interval a ratio; None where its denominator is 0 in every resample.
    """
    rng = random.Random(seed)
    found: list[list[float]] = [[] for _ in ratios]
    rows = list(units.items())
    width = len(rows[0][0]) if rows else 0
    for _ in range(resamples):
        totals = [0.0] * width
        for amounts, count in rows:
            times = _poisson(count, rng)
            if times:
                for position, amount in enumerate(amounts):
                    totals[position] += times * amount
        for (over, under), values in zip(ratios, found, strict=True):
            if totals and totals[under] > 0:
                values.append(totals[over] / totals[under])
    tail = (1 - level) / 2
    return [
        (values[int(tail * len(values))], values[min(len(values) - 1, int((1 - tail) * len(values)))])
        if values
        else None
        for values in map(sorted, found)
    ]


def _poisson(mean: float, rng: random.Random) -> int:
    if mean > 50:  # close enough to normal there for an interval
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
