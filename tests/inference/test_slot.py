"""The rate of requests to one server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.inference.slot import window


@pytest.mark.parametrize(
    ("per_second", "expected"), [(5, (5, 1.0)), (1.5, (1, 1 / 1.5)), (2.5, (2, 0.8)), (0.25, (1, 4.0))]
)
def test_a_rate_is_not_rounded(per_second: float, expected: tuple[int, float]) -> None:
    assert window(per_second) == pytest.approx(expected)


@given(st.floats(0.001, 10_000.0))
def test_a_window_is_of_the_rate_and_little_longer_than_a_second(per_second: float) -> None:
    requests, seconds = window(per_second)
    assert requests >= 1
    assert requests / seconds == pytest.approx(per_second)
    assert seconds <= max(1.0, 1 / per_second)
