from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from rro_sdk._numbers import exact_mean
from rro_sdk.stats import (
    beta_interval,
    binary_nulls,
    bootstrap_interval,
    bootstrap_ratios,
    candidates_null,
    candidates_null_binary,
    effective_sample_size,
    intraclass_correlation,
    pair_odds,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.1, 1.69), (0.3, 1.85), (0.5, 1.87), (0.7, 1.80), (0.9, 1.43)]
)
def test_exact_null_of_the_specification(rate: float, expected: float) -> None:
    assert candidates_null_binary(rate, 5, 5) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_certain_outcomes_take_one_candidate(rate: float) -> None:
    assert candidates_null_binary(rate, 5, 5) == 1.0


def test_exact_null_equals_the_sum_over_all_outcomes() -> None:
    p, m, cap = 0.4, 2, 3
    values = [0, 1, 1, 2]  # successes of two rollouts
    chances = [(1 - p) ** 2, p * (1 - p), p * (1 - p), p**2]
    expected = 0.0
    for draws in itertools.product(range(4), repeat=cap + 1):
        chance = 1.0
        for draw in draws:
            chance *= chances[draw]
        base, *candidates = (values[draw] for draw in draws)
        drawn = next((n for n, value in enumerate(candidates, 1) if value >= base), cap)
        expected += chance * drawn
    assert candidates_null_binary(p, m, cap) == pytest.approx(expected)


def test_resampled_null_agrees_with_the_exact_one() -> None:
    pool = [0.0] * 6 + [0.999999] * 4  # not quite binary, so it is resampled
    found = candidates_null([pool], 5, 5, resamples=20_000)
    assert found == pytest.approx(candidates_null_binary(0.4, 5, 5), abs=0.03)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_null_where_a_second_candidate_is_always_drawn(rate: float) -> None:
    rises_at_once = 2 * candidates_null_binary(rate, 5, 1) - candidates_null_binary(rate, 5, 2)
    with_second = candidates_null_binary(rate, 5, 5, 2)
    assert with_second == pytest.approx(candidates_null_binary(rate, 5, 5) + rises_at_once)
    pool = [0.0] * round(10 - 10 * rate) + [0.999999] * round(10 * rate)
    assert candidates_null([pool], 5, 5, 2, resamples=20_000) == pytest.approx(with_second, abs=0.03)
    assert candidates_null_binary(rate, 5, 5, 5) == pytest.approx(5.0)


def strictly(baseline: tuple[float, ...], candidate: tuple[float, ...]) -> bool:
    return sum(candidate) > sum(baseline)


@pytest.mark.parametrize("rate", [0.2, 0.6])
def test_null_under_another_rule(rate: float) -> None:
    # One rollout, by hand: over a baseline of 1 nothing rises; over 0 a success does.
    expected = rate * 4 + (1 - rate) * sum((1 - rate) ** drawn for drawn in range(4))
    assert candidates_null_binary(rate, 1, 4, rises=strictly) == pytest.approx(expected)
    exact = candidates_null_binary(rate, 5, 5, rises=strictly)
    pool = [0.0] * round(10 - 10 * rate) + [0.999999] * round(10 * rate)
    assert candidates_null([pool], 5, 5, rises=strictly, resamples=20_000) == pytest.approx(exact, abs=0.03)


def test_odds_of_a_pair_by_hand() -> None:
    # One rollout, two candidates at most: a pair needs a baseline of 1, a failure, then a success.
    prefix, values = 0.7, {0.2: 0.25, 0.6: 0.75}
    found = pair_odds(prefix, values, 1, 2)
    ways = [
        (q * r * prefix * (1 - one) * other, one, other)
        for one, q in values.items()
        for other, r in values.items()
    ]
    assert found.pair == pytest.approx(sum(chance for chance, _, _ in ways))
    assert found.right == pytest.approx(sum(chance for chance, one, other in ways if other > one))
    assert found.wrong == pytest.approx(sum(chance for chance, one, other in ways if other < one))
    assert found.precision == pytest.approx(found.right / found.pair)
    mean = sum(chance * value for value, chance in values.items())
    assert found.candidates == pytest.approx(1 + prefix * (1 - mean))
    assert pair_odds(0.0, values, 1, 2).precision is None
    with pytest.raises(ValueError, match="sum to 1"):
        pair_odds(0.5, {0.5: 0.4}, 1, 2)


@given(st.floats(0.05, 0.95), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_odds_without_improvement_are_the_null(rate: float, m: int, cap: int, least: int) -> None:
    for rises in (None, strictly):
        found = pair_odds(rate, {rate: 1.0}, m, cap, min(least, cap), rises=rises)
        null = candidates_null_binary(rate, m, cap, min(least, cap), rises)
        assert found.candidates == pytest.approx(null)
        assert (found.right, found.wrong) == (0.0, 0.0)
        assert 0.0 <= found.pair <= 1.0


def test_fixed_size_pairs_unless_all_are_equal() -> None:
    found = pair_odds(0.5, {0.3: 0.5, 0.7: 0.5}, 3, 3, 3)
    assert found.candidates == pytest.approx(3.0)
    chances = [0.5 * sum(math.comb(3, k) * p**k * (1 - p) ** (3 - k) for p in (0.3, 0.7)) for k in range(4)]
    assert found.pair == pytest.approx(1 - sum(chance**3 for chance in chances))
    assert found.right > 4 * found.wrong


def under_the_null(
    rates: Callable[[random.Random], float], m: int, cap: int, steps: int
) -> tuple[float, list[list[float]]]:
    """Steps where no candidate is better than its prefix: those to expect of each, and the outcomes seen."""
    rng, expected, pools = random.Random(0), 0.0, []
    for _ in range(steps):
        rate = rates(rng)
        seen = [[float(rng.random() < rate) for _ in range(m)] for _ in range(2)]
        while sum(seen[-1]) < sum(seen[0]) and len(seen) <= cap:
            seen.append([float(rng.random() < rate) for _ in range(m)])
        expected += candidates_null_binary(rate, m, cap)
        pools.append([outcome for each in seen for outcome in each])
    return expected / steps, pools


@pytest.mark.parametrize("m", [3, 5])
@pytest.mark.parametrize(
    "rates",
    [
        lambda rng: 0.1,
        lambda rng: 0.9,
        lambda rng: rng.random(),
        lambda rng: rng.betavariate(0.2, 0.2),
        lambda rng: rng.choice([0.05, 0.9]),
        lambda rng: rng.choice([0.0, 0.0, 0.5, 1.0]),
    ],
    ids=["rare", "common", "any", "certain", "two", "three"],
)
def test_the_null_of_a_run_without_improvement(rates: Callable[[random.Random], float], m: int) -> None:
    expected, pools = under_the_null(rates, m, 5, 2000)
    assert candidates_null(pools, m, 5) == pytest.approx(expected, abs=0.06)


def test_a_null_at_the_rates_that_were_seen_would_be_too_low() -> None:
    expected, pools = under_the_null(lambda rng: 0.1, 3, 5, 2000)
    seen = [candidates_null_binary(sum(pool) / len(pool), 3, 5) for pool in pools]
    assert sum(seen) / len(seen) < expected - 0.2


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 0.9, 1.0])
def test_a_rate_that_is_known_well_has_its_own_null(rate: float) -> None:
    steps = {(round(2000 * rate), 2000): 1}
    assert binary_nulls(steps, 5, 5).popitem()[1] == pytest.approx(
        candidates_null_binary(rate, 5, 5), abs=0.03
    )


counted = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(
    st.dictionaries(counted, st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 4)
)
def test_binary_nulls_lie_within_the_counts_that_can_be(
    steps: dict[tuple[int, int], int], m: int, cap: int
) -> None:
    found = binary_nulls(steps, m, cap)
    assert found.keys() == steps.keys()
    assert all(1.0 - 1e-9 <= each <= cap + 1e-9 for each in found.values())
    assert binary_nulls({key: 7 * count for key, count in steps.items()}, m, cap) == pytest.approx(found)
    pools = [[1.0] * k + [0.0] * (n - k) for (k, n), count in steps.items() for _ in range(count)]
    mean = sum(found[key] * count for key, count in steps.items()) / len(pools)
    assert candidates_null(pools, m, cap) == pytest.approx(mean)


def test_null_of_no_steps_is_none() -> None:
    assert binary_nulls({}, 5, 5) == {}
    assert candidates_null([], 5, 5) is None


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, 1.0]), min_size=1, max_size=10), st.randoms())
def test_exact_mean_ignores_order_and_repetition(values: list[float], rng: random.Random) -> None:
    shuffled = values[:]
    rng.shuffle(shuffled)
    assert exact_mean(shuffled) == exact_mean(values)
    assert exact_mean(values * 3) == exact_mean(values)
    assert exact_mean([values[0]] * 7) == values[0]


def test_bootstrap_interval_holds_the_mean_and_narrows() -> None:
    rng = random.Random(1)
    small = [rng.random() for _ in range(20)]
    large = [rng.random() for _ in range(500)]
    low, high = bootstrap_interval(small)
    assert low < statistics.fmean(small) < high
    wide, narrow = high - low, (lambda pair: pair[1] - pair[0])(bootstrap_interval(large))
    assert narrow < wide
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([])


@pytest.mark.parametrize(
    ("total", "count"), [(0, 0), (0, 5), (3, 5), (5, 5), (2.5, 10), (900, 20_000), (19_999, 20_000)]
)
def test_beta_interval_is_the_posterior_quantiles(total: float, count: int) -> None:
    low, high = beta_interval(total, count, level=0.9)
    expected = beta.ppf([0.05, 0.95], 1 + total, 1 + count - total)
    assert (low, high) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("arguments", [(-1, 5, 0.9), (6, 5, 0.9), (0, -1, 0.9), (1, 5, 1.0)])
def test_beta_interval_of_what_cannot_be(arguments: tuple[float, int, float]) -> None:
    total, count, level = arguments
    with pytest.raises(ValueError, match="no Beta interval"):
        beta_interval(total, count, level=level)


def test_correlation_within_groups_and_what_they_are_worth() -> None:
    same = [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    assert intraclass_correlation(same) == 1.0
    assert effective_sample_size(same) == pytest.approx(4.0), "groups of equal values count once"
    # By hand: means 0.75 and 0.25, between 1/2, within 3/12 = 1/4, group size 4; (1/2 - 1/4) / (1/2 + 3/4).
    other = [[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    assert intraclass_correlation(other) == pytest.approx(0.2)
    assert effective_sample_size(other) == pytest.approx(8 / (1 + 3 * 0.2))
    alone = [[1.0], [0.0], [1.0]]
    assert (intraclass_correlation(alone), effective_sample_size(alone)) == (0.0, 3.0)
    assert effective_sample_size([]) == 0.0
    assert effective_sample_size([[0.5, 0.5], [0.5]]) == 3.0, "where nothing varies nothing is alike"


def test_correlation_is_the_spread_that_made_it() -> None:
    rng = random.Random(0)
    groups = []
    for _ in range(2000):
        value = rng.betavariate(0.4 * 4, 0.6 * 4)  # 1 / (4 + 1) = 0.2
        groups.append([float(rng.random() < value) for _ in range(5)])
    assert intraclass_correlation(groups) == pytest.approx(0.2, abs=0.03)


def test_bootstrapped_ratio_agrees_with_wilson_where_units_are_single() -> None:
    found = bootstrap_ratios({(1.0, 1.0): 300, (0.0, 1.0): 700}, [(0, 1)])[0]
    assert found == pytest.approx(wilson_interval(300, 1000), abs=0.006)


def test_bootstrapped_ratio_is_wider_where_units_hold_many() -> None:
    single = bootstrap_ratios({(1.0, 1.0): 500, (0.0, 1.0): 500}, [(0, 1)])[0]
    in_tens = bootstrap_ratios({(10.0, 10.0): 50, (0.0, 10.0): 50}, [(0, 1), (1, 0)])[0]
    assert single is not None
    assert in_tens is not None
    assert in_tens[1] - in_tens[0] > 2 * (single[1] - single[0])
    assert bootstrap_ratios({(1.0, 0.0): 5}, [(0, 1)]) == [None]
    assert bootstrap_ratios({}, [(0, 1)]) == [None]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: candidates_null_binary(1.5, 5, 5), r"success rate must be in \[0, 1\], not 1.5"),
        (lambda: candidates_null_binary(0.5, 0, 5), "rollouts must be at least 1, not 0"),
        (lambda: candidates_null([[0.4]], 0, 5), "rollouts must be at least 1, not 0"),
        (lambda: candidates_null([[0.4]], 5, 0), "max_candidates must be at least 1, not 0"),
        (lambda: candidates_null([[0.4]], 5, 5, resamples=0), "resamples must be at least 1, not 0"),
        (lambda: candidates_null([[]], 5, 5), "at least one outcome"),
        (lambda: pair_odds(0.5, {-0.1: 1.0}, 5, 5), r"success rate must be in \[0, 1\], not -0.1"),
        (lambda: pair_odds(0.5, {0.5: 1.0}, 5, 0), "max_candidates must be at least 1, not 0"),
    ],
)
def test_a_null_of_nothing_is_no_number(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()
