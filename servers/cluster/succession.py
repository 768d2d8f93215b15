"""What a lost server is made anew with, and how often it may be tried. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WAITS_S = (0.0, 2.0, 10.0, 30.0, 60.0)
"""Before the first, second, ... start after a loss: at once, for a single loss has no cause that lasts; then
longer, for a node that reboots or a GPU whose memory is still being freed. So many in a row, no more."""

WELL_S = 300.0
"""A server that served for so long was well: its loss is not one in a row."""

STALE_S = 60.0
"""How long a server may serve other weights than the rest before it is made anew: longer than a reload takes
from its first server to its last, for one that is given to them together."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a server says that it serves. The version says which weights; a folder may have several names."""

    path: str = field(compare=False)
    version: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server was last seen with.

    Attributes:
        weights: what it serves.
        since: when it changed to them, on any one clock; minus infinity where it started with them.
    """

    weights: Weights
    since: float = -math.inf

    def looked_at(self, now: Weights, at: float) -> Seen:
        """The same server at a later look."""
        return self if now == self.weights else Seen(now, at)


def served_now(seen: Sequence[Seen], before: Weights) -> Weights:
    """What the fleet serves: what most of its servers do.

    In a tie, as in the middle of a reload of two servers, what one of them changed to last.

    Args:
        seen: of each server that serves.
        before: what it served when last asked, for where none serves.
    """
    if not seen:
        return before
    votes: dict[Weights, tuple[int, float]] = {}
    for each in seen:
        count, since = votes.get(each.weights, (0, -math.inf))
        votes[each.weights] = (count + 1, max(since, each.since))
    best = max(votes.values())
    return next(weights for weights, vote in votes.items() if vote == best)


def is_behind(one: Seen, seen: Sequence[Seen], before: Weights) -> bool:
    """Whether a server missed a reload of the others.

    One that changed after them is no such server: it is ahead, in a reload from server to server.
    """
    now = served_now(seen, before)
    newest = max((each.since for each in seen if each.weights == now), default=-math.inf)
    return one.weights != now and one.since < newest


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of one server in a row.

    Attributes:
        count: how many.
        next_at: when it may be started again, on the clock of `after`; None once it may not.
    """

    count: int = 0
    next_at: float | None = -math.inf

    def after(self, now: float, served_s: float) -> Losses:
        """With one more, of a server that had served for so long."""
        count = 1 if served_s >= WELL_S else self.count + 1
        return Losses(count, now + WAITS_S[count - 1] if count <= len(WAITS_S) else None)
