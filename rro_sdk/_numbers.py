"""Arithmetic that two parts of the SDK must do alike."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def exact_mean(values: Sequence[float]) -> float:
    """The mean, computed exactly and rounded once.

    Plain float sums depend on the order and make three outcomes of 0.1 average to less than one
    outcome of 0.1, which would turn a tie into a fall under the rule r_t >= r_{t-1}.
    """
    if all(value in (0.0, 1.0) for value in values):  # the common case, and exact as integers
        return sum(map(int, values)) / len(values)
    return float(statistics.mean(values))
