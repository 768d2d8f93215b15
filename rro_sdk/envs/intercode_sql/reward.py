"""InterCode-SQL's reward (arXiv 2306.14898, section 3 and its SQL appendix). Pure.

The rows of both results count as multisets of their printed form: intersection over union, times
Kendall's tau between the orders of the common rows.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence


def score(answer: Sequence[object] | None, gold: Sequence[object]) -> float:
    """The reward of a result, in [-1, 1].

    Args:
        answer: the rows of the agent's last result; None where there are none (an error, `USE`, nothing yet).
        gold: the rows of the gold statement.

    Returns:
        0 without rows; 1 where both are empty; else IoU x tau rounded to two digits, or the plain IoU
        where tau is not defined (fewer than two common rows, or all of them equal).
    """
    if answer is None:
        return 0.0
    given, wanted = [str(row) for row in answer], [str(row) for row in gold]
    if not given and not wanted:
        return 1.0
    given_count, wanted_count = Counter(given), Counter(wanted)
    common = given_count & wanted_count
    overlap = common.total() / (given_count | wanted_count).total()
    tau = _order_agreement(_only(given, common), _only(wanted, common))
    return overlap if math.isnan(tau) else round(tau * overlap, 2)


def clip(raw: float) -> float:
    """The outcome that RRO trains on: the reward without its negative part."""
    return max(0.0, raw)


def _only(rows: list[str], common: Counter[str]) -> list[str]:
    """The common rows in their order, each as often as it is common, the first ones kept."""
    left = common.copy()
    kept = []
    for row in rows:
        if left[row] > 0:
            left[row] -= 1
            kept.append(row)
    return kept


def _order_agreement(given: list[str], wanted: list[str]) -> float:
    """Kendall's tau-b between two orders of the same rows; NaN where it is not defined."""
    ranks = {row: rank for rank, row in enumerate(sorted(set(given)))}
    if len(ranks) < 2:
        return math.nan
    if given == wanted:
        return 1.0
    return kendall_tau([ranks[row] for row in given], [ranks[row] for row in wanted])


def kendall_tau(x: Sequence[int], y: Sequence[int]) -> float:
    """Tau-b of two rankings of the same length: scipy's `kendalltau` to the last bit, in a tenth of the time.

    Args:
        x: ranks, not all equal.
        y: ranks, not all equal.
    """
    pairs = sorted(zip(x, y, strict=True))
    total = _pairs(len(pairs))
    ties_x, ties_y, ties = (
        sum(_pairs(count) for count in Counter(values).values()) for values in (x, y, pairs)
    )
    # Sorted by x then y, so that a discordant pair is one in which a later y is the smaller one.
    discordant = _inversions([rank for _, rank in pairs])
    balance = total - ties_x - ties_y + ties - 2 * discordant
    tau = balance / math.sqrt(total - ties_x) / math.sqrt(total - ties_y)
    return min(1.0, max(-1.0, tau))


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _inversions(values: list[int]) -> int:
    """Pairs of which the later one is smaller."""
    seen: list[int] = []
    found = 0
    for value in values:
        place = bisect_right(seen, value)
        found += len(seen) - place
        seen.insert(place, value)
    return found
