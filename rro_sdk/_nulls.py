"""What steps would draw and yield, exactly: candidates under no improvement, and the odds of a pair."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import msgspec

from rro_sdk._numbers import exact_mean

RATES = tuple(math.sin(math.pi * step / 40) ** 2 for step in range(21))
"""Success rates that a prefix is taken to have: denser towards 0 and 1, where the null changes fastest."""

ROUNDS = 50
"""Of expectation and maximisation. With more the null moves by less than 0.02; it costs 50 ms at most."""

Rises = Callable[[tuple[float, ...], tuple[float, ...]], bool]
"""Whether a candidate's outcomes rise over a baseline's; the paper's rule where none is given."""


def candidates_null_binary(
    success_rate: float,
    rollouts: int,
    max_candidates: int,
    min_candidates: int = 1,
    rises: Rises | None = None,
) -> float:
    """Expected candidates per step if candidates were exactly as good as their prefix, outcomes 0 or 1.

    The prefix's and each candidate's process reward are independent Binomial(m, p) / m; the step stops at
    the first candidate that is not below the prefix's, or at the cap.

    Args:
        success_rate: p, the chance that one rollout succeeds.
        rollouts: m.
        max_candidates: the cap.
        min_candidates: fewest that a step draws (2 where a first rise is followed by a second candidate).
        rises: another rule than the paper's.

    Raises:
        ValueError: a rate outside [0, 1], or counts below 1.
    """
    _refuse(rollouts=rollouts, max_candidates=max_candidates)
    weights = _binomial(success_rate, rollouts)
    expected = 0.0
    for weight, risen in zip(weights, _rising_counts(rollouts, rises), strict=True):
        # Given a baseline of so many successes, each candidate falls short with probability `below`.
        below = math.fsum(chance for chance, rose in zip(weights, risen, strict=True) if not rose)
        expected += weight * sum(
            1.0 if drawn < min_candidates else below**drawn for drawn in range(max_candidates)
        )
    return expected


def candidates_null(
    pools: Sequence[Sequence[float]],
    rollouts: int,
    max_candidates: int,
    min_candidates: int = 1,
    *,
    rises: Rises | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> float | None:
    """Mean candidates per step under no improvement, from a run's own outcomes.

    Args:
        pools: one sequence of outcomes in [0, 1] per step.
        rollouts: m.
        max_candidates: the cap.
        min_candidates: fewest that a step draws.
        rises: another rule than the paper's.
        seed: seed of the resampling.
        resamples: redrawn steps per pool where the exact sum does not apply.

    Returns:
        The mean over steps, or None when there are none.

    Raises:
        ValueError: as `candidates_nulls`.
    """
    if not pools:
        return None
    return exact_mean(
        candidates_nulls(
            pools, rollouts, max_candidates, min_candidates, rises=rises, seed=seed, resamples=resamples
        )
    )


def candidates_nulls(
    pools: Sequence[Sequence[float]],
    rollouts: int,
    max_candidates: int,
    min_candidates: int = 1,
    *,
    rises: Rises | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> list[float]:
    """Expected candidates of each step under no improvement; arguments as `candidates_null`.

    Each step has a pool: the outcomes seen from its prefix on, of baseline and candidates alike, as under the
    null they are. Where all are 0 or 1 see `binary_nulls`. Elsewhere baseline and candidates are redrawn from
    the pool, seeded; a small pool has less variety than what it was drawn from, so that is a lower estimate
    (`python -m benchmarks.null`). Every candidate is taken for a new action after which the episode goes on:
    equal candidates, which inherit an estimate that has not risen, and such as end it are not in it.

    Args:
        pools: of all steps of a run at once, for they tell of each other.

    Raises:
        ValueError: an empty pool, or counts below 1.
    """
    _refuse(rollouts=rollouts, max_candidates=max_candidates, resamples=resamples)
    if not all(pools):
        raise ValueError("each pool must hold at least one outcome")
    rng = random.Random(seed)
    keys = [
        (int(sum(pool)), len(pool)) if all(outcome in (0.0, 1.0) for outcome in pool) else None
        for pool in pools
    ]
    binary = binary_nulls(Counter(filter(None, keys)), rollouts, max_candidates, min_candidates, rises=rises)
    return [
        _resampled_null(pool, rollouts, max_candidates, min_candidates, rises, rng, resamples)
        if key is None
        else binary[key]
        for key, pool in zip(keys, pools, strict=True)
    ]


def binary_nulls(
    steps: Mapping[tuple[int, int], int],
    rollouts: int,
    max_candidates: int,
    min_candidates: int = 1,
    *,
    rises: Rises | None = None,
) -> dict[tuple[int, int], float]:
    """Expected candidates of steps under no improvement, where every outcome is 0 or 1.

    A prefix's success rate is known by a few rollouts, and the null is curved: taken at the rates that were
    seen it would come out too low, by 0.26 at a rate of 0.1 and m = 3. So the spread of the rates over the
    run's prefixes is estimated first, by nonparametric maximum likelihood on a grid (Kiefer and Wolfowitz
    1956; by EM, Laird 1978), and each step has the mean null of the rates that its own outcomes leave likely.
    That a step stops at the first rise does not change the likelihood of its outcomes.

    Args:
        steps: how many steps had so many successes among so many outcomes.
        rollouts, max_candidates, min_candidates, rises: as for `candidates_null_binary`.

    Returns:
        The expected candidates of a step of each kind.

    Raises:
        ValueError: counts below 1.
    """
    if not steps:
        return {}
    nulls = [candidates_null_binary(rate, rollouts, max_candidates, min_candidates, rises) for rate in RATES]
    likely = {key: _likelihood(*key) for key in sorted(steps)}
    total = sum(steps.values())
    spread = [1.0 / len(RATES)] * len(RATES)
    for _ in range(ROUNDS):
        after = [0.0] * len(RATES)
        for key, chances in likely.items():
            share = steps[key] / total
            for place, chance in enumerate(_posterior(spread, chances)):
                after[place] += share * chance
        spread = after
    return {
        key: math.fsum(chance * null for chance, null in zip(_posterior(spread, chances), nulls, strict=True))
        for key, chances in likely.items()
    }


def _likelihood(successes: int, count: int) -> list[float]:
    """Of each of the rates, as a share of the largest, so that many outcomes leave more than zeros."""
    logs = [
        (successes * math.log(rate) if successes else 0.0)
        + ((count - successes) * math.log1p(-rate) if successes < count else 0.0)
        if (rate > 0.0 or not successes) and (rate < 1.0 or successes == count)
        else -math.inf
        for rate in RATES
    ]
    most = max(logs)
    return [math.exp(each - most) for each in logs]


def _posterior(spread: Sequence[float], chances: Sequence[float]) -> list[float]:
    joint = [weight * chance for weight, chance in zip(spread, chances, strict=True)]
    whole = math.fsum(joint)
    return [each / whole for each in joint]


def _resampled_null(
    pool: Sequence[float],
    rollouts: int,
    max_candidates: int,
    min_candidates: int,
    rises: Rises | None,
    rng: random.Random,
    resamples: int,
) -> float:
    def draw() -> tuple[float, ...]:
        return tuple(rng.choices(pool, k=rollouts))

    total = 0
    for _ in range(resamples):
        baseline, drawn = draw(), 1
        while not _rose(baseline, draw(), rises) and drawn < max_candidates:
            drawn += 1
        total += max(drawn, min(min_candidates, max_candidates))
    return total / resamples


def _rose(baseline: tuple[float, ...], candidate: tuple[float, ...], rises: Rises | None) -> bool:
    if rises is None:
        return exact_mean(candidate) >= exact_mean(baseline)
    return rises(baseline, candidate)


def _refuse(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")


def _binomial(rate: float, count: int) -> list[float]:
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"a success rate must be in [0, 1], not {rate}")
    return [math.comb(count, k) * rate**k * (1 - rate) ** (count - k) for k in range(count + 1)]


@lru_cache(maxsize=64)
def _rising_counts(rollouts: int, rises: Rises | None) -> tuple[tuple[bool, ...], ...]:
    """By successes of the baseline, then by those of the candidate. Pure, so remembered."""
    outcomes = [(1.0,) * k + (0.0,) * (rollouts - k) for k in range(rollouts + 1)]
    return tuple(tuple(_rose(base, own, rises) for own in outcomes) for base in outcomes)


class PairOdds(msgspec.Struct, frozen=True):
    """What one step yields, exactly.

    Attributes:
        candidates: expected candidates.
        pair: chance of a pair.
        right: chance of a pair whose chosen side is truly better.
        wrong: chance of one whose chosen side is truly worse; the rest is between equals.
    """

    candidates: float
    pair: float
    right: float
    wrong: float

    @property
    def precision(self) -> float | None:
        """Share of the pairs that are right; None where there are none."""
        return self.right / self.pair if self.pair else None


def pair_odds(
    success_rate: float,
    candidates: Mapping[float, float],
    rollouts: int,
    max_candidates: int,
    min_candidates: int = 1,
    *,
    rises: Rises | None = None,
) -> PairOdds:
    """Expected pair yield and pair precision of a step under stated true values, outcomes 0 or 1.

    The pair is best against worst, ties to the earliest (rule 4). No two candidates are the same action, and
    none ends the episode. For worlds of many steps see `rro_sdk.planner`.

    Args:
        success_rate: true value of the prefix.
        candidates: chance of each true value that a candidate may have; they sum to 1.
        rollouts: m.
        max_candidates: the cap.
        min_candidates: fewest that a step draws; the cap for fixed-size exploration.
        rises: another rule than the paper's.

    Raises:
        ValueError: the chances do not sum to 1, a true value is outside [0, 1], or counts are below 1.
    """
    _refuse(rollouts=rollouts, max_candidates=max_candidates)
    if not math.isclose(math.fsum(candidates.values()), 1.0, abs_tol=1e-9):
        raise ValueError("the chances of the candidates' true values must sum to 1")
    draws = [
        (count, value, chance * weight)
        for value, chance in candidates.items()
        for count, weight in enumerate(_binomial(value, rollouts))
        if chance * weight > 0.0
    ]
    totals = [0.0, 0.0, 0.0, 0.0]
    for weight, risen in zip(_binomial(success_rate, rollouts), _rising_counts(rollouts, rises), strict=True):
        # (best count, its true value, worst count, its true value, whether one rose) -> chance
        open_steps: dict[tuple[int, float, int, float, bool], float] = {}
        for drawn in range(1, max_candidates + 1):
            grown: dict[tuple[int, float, int, float, bool], float] = {}
            for count, value, chance in draws:
                if drawn == 1:
                    first = (count, value, count, value, risen[count])
                    grown[first] = grown.get(first, 0.0) + weight * chance
                for (best, its, worst, others, rose), before in open_steps.items():
                    state = (
                        *((count, value) if count > best else (best, its)),
                        *((count, value) if count < worst else (worst, others)),
                        rose or risen[count],
                    )
                    grown[state] = grown.get(state, 0.0) + before * chance
            open_steps = {}
            for state, chance in grown.items():
                best, its, worst, others, rose = state
                if drawn < max_candidates and not (rose and drawn >= min_candidates):
                    open_steps[state] = chance
                    continue
                totals[0] += drawn * chance
                if best > worst:
                    totals[1] += chance
                    totals[2] += chance * (its > others)
                    totals[3] += chance * (its < others)
    return PairOdds(*totals)
