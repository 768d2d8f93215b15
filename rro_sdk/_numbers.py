"""Arithmetic that two parts of the SDK must do alike."""

from __future__ import annotations

from collections.abc import Sequence


def exact_mean(values: Sequence[float]) -> float:
    """The mean, computed exactly and rounded once.

    Plain float sums depend on the order and make three outcomes of 0.1 average to less than one
    outcome of 0.1, which would turn a tie into a fall under the rule r_t >= r_{t-1}.
    """
    ones = values.count(1.0)
    if ones + values.count(0.0) == len(values):  # the common case, and exact as integers
        return ones / len(values)
    total = 0
    for value in values:
        numerator, denominator = value.as_integer_ratio()  # the denominator is a power of two
        total += numerator * (_FINEST // denominator)
    return total / (_FINEST * len(values))  # Python divides integers with one rounding


_FINEST = 1 << 1074
"""One over the smallest positive float: every float is a whole number of them."""
