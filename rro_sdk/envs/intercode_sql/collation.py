"""MySQL's utf8mb4_general_ci as a collation for SQLite."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

GENERAL_CI = "GENERAL_CI"


def compare_general_ci(left: str, right: str) -> int:
    """Compare without case, without accents and without trailing spaces."""
    if left == right:
        return 0
    first, second = general_ci_key(left), general_ci_key(right)
    if first == second:
        return 0
    return 1 if first > second else -1


@lru_cache(maxsize=50_000)
def general_ci_key(text: str) -> str:
    """What of a text takes part in a comparison."""
    text = text.rstrip(" ")
    if text.isascii():
        return text.upper()
    apart = unicodedata.normalize("NFD", text.upper())
    return "".join(sign for sign in apart if not unicodedata.combining(sign))
