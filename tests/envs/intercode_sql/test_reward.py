"""The reward: hand-worked cases, and properties that hold for any two results."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rro_sdk.envs.intercode_sql.reward import clip, kendall_tau, score

ROWS = st.lists(st.tuples(st.integers(0, 3)), max_size=8)


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        (None, [(1,)], 0.0),  # an error, or nothing yet
        (None, [], 0.0),
        ([], [], 1.0),
        ([], [(1,)], 0.0),
        ([(1,)], [(1,)], 1.0),
        ([(1,), (2,)], [(1,), (2,)], 1.0),
        ([(2,), (1,)], [(1,), (2,)], -1.0),  # all there, wholly reversed
        ([(1,), (2,), (3,)], [(1,), (3,), (2,)], 0.33),  # tau = 1/3
        ([(1,), (2,), (9,)], [(1,), (2,)], 0.67),  # IoU 2/3, tau 1: rounded
        ([(1,), (9,), (8,)], [(1,)], 1 / 3),  # one common row, tau undefined: not rounded
        ([(1,), (1,)], [(1,), (1,)], 1.0),  # equal rows, tau undefined
        ([(1,), (1,)], [(1,)], 0.5),  # a multiset: the second copy is not common
        ([("1",)], [(1,)], 0.0),  # compared as printed: '1' is not 1
        ([(1.0,)], [(1,)], 0.0),
        ([(1,), (2,), (3,)], [(2,), (3,), (4,), (5,)], 0.4),
    ],
)
def test_hand_worked_cases(answer: list[object] | None, gold: list[object], expected: float) -> None:
    assert score(answer, gold) == pytest.approx(expected, abs=1e-12)


@given(ROWS, ROWS)
def test_lies_in_minus_one_to_one_and_is_never_nan(answer: list[object], gold: list[object]) -> None:
    assert -1.0 <= score(answer, gold) <= 1.0


@given(ROWS)
def test_the_gold_itself_scores_one(gold: list[object]) -> None:
    assert score(gold, gold) == 1.0


@given(ROWS, ROWS)
def test_is_symmetric(answer: list[object], gold: list[object]) -> None:
    # "First ones kept" on both sides: swapping sides swaps nothing in IoU or tau.
    assert score(answer, gold) == pytest.approx(score(gold, answer))


@given(ROWS, st.tuples(st.just("never in the gold")))
def test_a_foreign_row_never_helps(gold: list[object], foreign: tuple[str]) -> None:
    assert score([*gold, foreign], gold) < 1.0


@given(st.permutations(list(range(6))))
def test_equals_kendalls_tau_when_the_rows_are_the_same(order: list[int]) -> None:
    expected = kendalltau(order, range(6)).statistic
    assert score([(each,) for each in order], [(each,) for each in range(6)]) == round(expected, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_tau_is_scipys_to_the_last_bit(pairs: list[tuple[int, int]]) -> None:
    x, y = [first for first, _ in pairs], [second for _, second in pairs]
    assume(len(set(x)) > 1 and len(set(y)) > 1)
    assert kendall_tau(x, y) == kendalltau(x, y).statistic


@given(st.permutations(list(range(300))))
@settings(max_examples=20)
def test_tau_of_long_rankings_is_scipys(order: list[int]) -> None:
    assert kendall_tau(order, range(300)) == kendalltau(order, range(300)).statistic


@given(st.floats(-1, 1))
def test_clip_keeps_the_positive_part(raw: float) -> None:
    assert clip(raw) == (raw if raw > 0 else 0.0)
    assert not math.isnan(clip(raw))
