"""How many requests a server gets at once: two pure state machines that raise and lower one number.

Too few in flight and the server decodes half-empty batches; too many and they wait in its queue, where they
hold KV cache, cannot go to a server with room, and cost an abort each when they are no longer wanted.

`LoadLimit` reads the server's own account of its queue. `LatencyLimit` is for servers that keep none: it
compares the seconds that a token takes before and after a change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import msgspec

START = 16
"""First limit: enough to measure by, and within what a small CPU server runs at once."""

GROWTH = 4
"""A limit grows by a quarter: from 16 to 256 in 13 looks, and never far past where a queue forms. Below the
slots that a server says it has, it doubles."""

QUEUE_SHARE = 8
"""Wanted queue: an eighth of what runs. A decoding step ends about (running / tokens of a reply) requests, so
this refills the batch at once for any reply of 8 tokens or more, without waiting for a round trip."""

FULL_KV = 0.95
"""Above this use of the KV cache SGLang begins to retract requests, whose tokens are then computed again."""

SHRINK = 0.9
"""By how much a limit falls where the cache is full: gently, for a retraction is a cost and no failure."""

REFUSED = 0.5
"""By how much it falls after 429 or 503: the server says that it cannot, and asking on makes it worse."""

WORTH = 0.25
"""Share of the ideal gain that a raise must bring. Batches grow dearer bit by bit, so a raise that gives
less than a quarter of its own size in throughput is paid for in latency alone."""

HOLD = 8
"""Windows between two tries to raise a limit that was no use to raise: loads change, but slowly."""


class Load(msgspec.Struct, frozen=True):
    """A server's account of itself.

    Attributes:
        running: requests in its batch.
        waiting: requests in its queue, other clients' too.
        kv_used: share of its KV cache in use, in [0, 1].
        slots: most requests that it runs at once; None where it does not say.
    """

    running: int
    waiting: int
    kv_used: float = 0.0
    slots: int | None = None


class Limit(Protocol):
    """A limit and what changes it. Immutable: every change gives a new one."""

    @property
    def value(self) -> int: ...

    def refused(self) -> Limit:
        """After a 429 or 503."""
        ...


@dataclass(frozen=True, slots=True)
class FixedLimit:
    """The number that the user gave."""

    value: int

    def refused(self) -> Self:
        return self


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """Follows the server's queue.

    Attributes:
        value: requests in flight at most.
        highest: never above.
    """

    value: int = START
    highest: int = 1024

    def seen(self, load: Load, *, reached: bool) -> Self:
        """After a look at the load. `reached`: the limit held a request back since the last look.

        Checks, in order: a full cache with a queue lowers it; a queue of twice what is wanted lowers it in
        proportion, to where the queue would be the wanted one; no more than the wanted queue raises it,
        where it was reached and the server has slots; else it stays.
        """
        wanted = max(2, load.running // QUEUE_SHARE)
        if load.kv_used >= FULL_KV and load.waiting:
            return self._at(int(self.value * SHRINK))
        if load.waiting > 2 * wanted:
            return self._at(self.value * (load.running + wanted) // (load.running + load.waiting))
        if reached and load.waiting <= wanted:
            if load.slots is None:
                return self._at(self.value + max(1, self.value // GROWTH))
            full = load.slots + max(2, load.slots // QUEUE_SHARE)
            return self._at(max(self.value, min(2 * self.value, full)))
        return self

    def refused(self) -> Self:
        return self._at(int(self.value * REFUSED))

    def _at(self, value: int) -> Self:
        return replace(self, value=min(max(1, value), self.highest))


@dataclass(frozen=True, slots=True)
class LatencyLimit:
    """Climbs while throughput does (Little's law: throughput is what is in flight over latency).

    Attributes:
        value: requests in flight at most.
        highest: never above.
        before: the limit before the last raise, and its seconds per token; None before the first window.
        hold: windows to wait before the next raise.
    """

    value: int = START
    highest: int = 1024
    before: tuple[int, float] | None = None
    hold: int = 0

    def seen(self, seconds_per_token: float, *, reached: bool) -> Self:
        """After a window of finished requests. `reached`: the limit held a request back in it.

        Args:
            seconds_per_token: latency of its requests over their completion tokens.
        """
        if not reached:
            return self
        if self.hold > 1:
            return replace(self, hold=self.hold - 1)
        if self.before is not None:
            limit, seconds = self.before
            raised = self.value / limit
            gained = raised * seconds / seconds_per_token  # throughput now over throughput before
            if gained < 1 + WORTH * (raised - 1):
                return replace(self, value=limit, before=None, hold=HOLD)
        return replace(
            self,
            value=min(self.value + max(1, self.value // GROWTH), self.highest),
            before=(self.value, seconds_per_token) if self.value < self.highest else None,
            hold=0,
        )

    def refused(self) -> Self:
        return replace(self, value=max(1, int(self.value * REFUSED)), before=None, hold=HOLD)
