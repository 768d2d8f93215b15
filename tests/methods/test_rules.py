from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import ConfigError
from rro_sdk.methods import Margin, Paper, Posterior, RisingReward, Strict, Widening
from rro_sdk.methods.base import Draw, StepView, Stop
from rro_sdk.methods.rules import read_rule
from rro_sdk.stats import Belief, probability_at_least, wilson_interval
from rro_sdk.types import Action, Candidate, Estimate, Observation

binary = st.lists(st.sampled_from([0.0, 1.0]), min_size=5, max_size=5).map(lambda v: Estimate(tuple(v)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Margin("0.2"), r"Margin d must be in \(0, 1\], not '0.2'"),  # type: ignore[arg-type]
        (lambda: Margin(True), r"Margin d must be in \(0, 1\], not True"),
        (lambda: Posterior(None), r"Posterior p must be in \(0, 1\), not None"),  # type: ignore[arg-type]
        (lambda: RisingReward(rule="strict"), "RisingReward rule must be a rule, .* not 'strict'"),  # type: ignore[arg-type]
        (lambda: RisingReward(rule=Strict), "RisingReward rule must be a rule"),  # type: ignore[arg-type]
        (lambda: Widening(rule=None), "Widening rule must be a rule, .* not None"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_rule_is_refused_where_it_is_given(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


@given(binary, binary)
def test_each_rule_asks_for_no_less_than_the_paper_s(baseline: Estimate, candidate: Estimate) -> None:
    paper = Paper().rises(baseline, candidate)
    assert paper == (candidate.reward >= baseline.reward)
    assert Strict().rises(baseline, candidate) == (candidate.reward > baseline.reward)
    assert Strict().rises(baseline, candidate) <= paper
    assert Margin(0.2).rises(baseline, candidate) <= paper
    assert Posterior(0.5).rises(baseline, candidate) == paper, "at p = 1/2 equal counts decide as means do"
    assert Posterior(0.9).rises(baseline, candidate) <= Posterior(0.6).rises(baseline, candidate)


def test_posterior_is_the_probability_that_it_names() -> None:
    rng = random.Random(0)
    draws = 50_000
    better = sum(rng.betavariate(4, 3) >= rng.betavariate(3, 4) for _ in range(draws)) / draws
    assert probability_at_least(Belief.of_counts(3, 5), Belief.of_counts(2, 5)) == pytest.approx(
        better, abs=0.01
    )


def test_posterior_does_not_mind_the_order_of_outcomes() -> None:
    outcomes = (0.1, 0.1, 0.1, 0.1, 0.7)
    decided = {
        Posterior(0.5).rises(Estimate(one), Estimate(two))
        for one in set(permutations(outcomes))
        for two in set(permutations(outcomes))
    }
    assert decided == {True}


@given(st.integers(0, 5), st.integers(0, 5))
def test_probabilities_of_both_ways_add_up(left: int, right: int) -> None:
    one, two = Belief.of_counts(left, 5), Belief.of_counts(right, 5)
    assert probability_at_least(one, two) + probability_at_least(two, one) == pytest.approx(1.0)


def test_a_known_value_is_compared_with_the_posterior_s_mass() -> None:
    half = Belief.exactly(0.5)
    assert probability_at_least(half, Belief.of_counts(2, 4)) == pytest.approx(0.5)
    assert probability_at_least(Belief.of_counts(2, 4), half) == pytest.approx(0.5)
    assert probability_at_least(Belief.exactly(1.0), Belief.of_counts(5, 5)) == pytest.approx(1.0)
    assert probability_at_least(half, half) == 1.0
    terminal = Estimate((1.0,), terminal=True)
    assert Posterior(0.99).rises(Estimate((1.0,) * 5), terminal)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("paper", Paper()),
        ("strict", Strict()),
        ("margin(0.1)", Margin(0.1)),
        ("posterior(0.8)", Posterior(0.8)),
    ],
)
def test_rules_by_name(text: str, rule: object) -> None:
    assert read_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "papers", "margin", "margin(x)", "margin(0)", "margin(1.5)", "posterior(1)"]
)
def test_names_of_no_rule(text: str) -> None:
    with pytest.raises(ConfigError):
        read_rule(text)


def test_the_rule_decides_when_a_step_stops() -> None:
    baseline = Estimate((0.0,) * 5)
    first = Candidate(0, Action("a", "a"), Observation("o"), baseline)
    view = StepView(baseline, (first,))
    assert RisingReward().decide(view) == Stop("risen"), "by the letter 0 >= 0 rises"
    assert RisingReward(rule=Strict()).decide(view) == Draw()


@pytest.mark.parametrize(
    ("successes", "count", "expected"),
    [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1.0))],
)
def test_wilson_interval_of_the_textbook(successes: int, count: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(successes, count) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("successes", "count", "level"), [(1, 0, 0.95), (2, 1, 0.95), (0, 1, 1.0)])
def test_no_wilson_interval(successes: int, count: int, level: float) -> None:
    with pytest.raises(ValueError, match="Wilson"):
        wilson_interval(successes, count, level=level)
