"""MySQL's aggregate functions that SQLite lacks."""

from __future__ import annotations

import math

Scalar = None | int | float | str | bytes
"""A value as SQLite hands it to a function."""

GROUP_CONCAT_LENGTH = 1024
"""MySQL's default `group_concat_max_len`."""

GROUP_CONCAT_ROWS = 20_000
"""Rows that one GROUP_CONCAT looks at: far more than fit into its result."""


class GroupConcat:
    """GROUP_CONCAT: step(distinct, separator, value, key, descending, ...)."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, tuple[Scalar, ...]]] = []
        self._separator = ","
        self._distinct = False
        self._directions: tuple[bool, ...] = ()

    def step(self, distinct: Scalar, separator: Scalar, value: Scalar, *order: Scalar) -> None:
        if value is None:
            return
        self._distinct, self._separator = bool(distinct), str(separator)
        self._directions = tuple(bool(each) for each in order[1::2])
        if len(self._rows) >= GROUP_CONCAT_ROWS:
            if self._distinct or order:
                raise ValueError("too many rows in one GROUP_CONCAT")
            return
        self._rows.append((str(value)[:GROUP_CONCAT_LENGTH], tuple(order[::2])))

    def finalize(self) -> Scalar:
        if not self._rows:
            return None
        rows = self._rows
        for position in reversed(range(len(self._directions))):
            rows.sort(key=lambda row: _sort_key(row[1][position]), reverse=self._directions[position])
        texts = [text for text, _ in rows]
        if self._distinct:
            texts = list({text.lower(): text for text in reversed(texts)}.values())[::-1]
        return self._separator.join(texts)[:GROUP_CONCAT_LENGTH]


def _sort_key(value: Scalar) -> tuple[int, float, str]:
    if value is None:
        return (0, 0, "")
    return (1, value, "") if isinstance(value, int | float) else (2, 0, str(value).lower())


class _Spread:
    """Welford's running variance."""

    sample = False
    root = False

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def step(self, value: Scalar) -> None:
        if not isinstance(value, int | float):
            return
        self._count += 1
        apart = value - self._mean
        self._mean += apart / self._count
        self._squares += apart * (value - self._mean)

    def finalize(self) -> Scalar:
        divisor = self._count - self.sample
        if divisor <= 0:
            return None
        variance = self._squares / divisor
        return math.sqrt(variance) if self.root else variance


class StddevPop(_Spread):
    root = True


class StddevSamp(_Spread):
    sample = root = True


class VarianceSamp(_Spread):
    sample = True


AGGREGATES: dict[str, tuple[int, type[GroupConcat] | type[_Spread]]] = {
    "mysql_group_concat": (-1, GroupConcat),
    "std": (1, StddevPop),
    "stddev_pop": (1, StddevPop),
    "stddev_samp": (1, StddevSamp),
    "var_pop": (1, _Spread),
    "var_samp": (1, VarianceSamp),
}
"""By name: how many arguments (-1 for any), and the class."""
