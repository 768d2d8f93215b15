"""REGEXP for statements that nobody has vouched for.

Python's matcher backtracks, and nothing can interrupt it: a pattern that could take long is refused
by its shape before it is tried.
"""

from __future__ import annotations

import re
from functools import lru_cache

MAX_PATTERN = 100
MAX_TEXT = 1_000
MAX_REPEATS = 2
"""Unbounded repeats in one pattern. With two, neither over a group, matching takes cubic time at worst."""

MAX_OPTIONAL = (8, 4, 1)
"""Optional signs (`u?`) in a pattern with so many repeats: each may double the time that matching takes."""


class PatternRefused(ValueError):
    """The pattern cannot be read, or could take too long."""


def matches(pattern: str, text: str) -> bool:
    """MySQL's `text REGEXP pattern`: found anywhere in the first `MAX_TEXT` characters, without case.

    Raises:
        PatternRefused: see there.
    """
    return _compiled(pattern).search(text[:MAX_TEXT]) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_PATTERN:
        raise PatternRefused("the pattern is too long")
    _check_shape(pattern)
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternRefused("the pattern is not a regular expression") from error


def _check_shape(pattern: str) -> None:
    """Refuse repeated groups, back references, look-around, and too many repeats and optional signs."""
    repeats = optional = 0
    place = 0
    in_class = False
    previous = ""
    while place < len(pattern):
        sign = pattern[place]
        if sign == "\\":
            if pattern[place + 1 : place + 2].isdigit():
                raise PatternRefused("back references are not supported")
            place += 2
            previous = "x"
            continue
        if in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
        elif sign in "*+{":
            repeats += 1
            if previous == ")" or repeats > MAX_REPEATS:
                raise PatternRefused("the pattern repeats too much")
        elif sign == "?" and previous in ")(":
            raise PatternRefused("optional groups and look-around are not supported")
        elif sign == "?" and previous not in "*+}?":  # after these it is a way to repeat
            optional += 1
        previous = sign
        place += 1
    if optional > MAX_OPTIONAL[repeats]:
        raise PatternRefused("the pattern leaves too much open")
