"""Places on servers: who gets the next free one, and who waits for which.

A prefix lives on the server on which least was going on when its first call came: by hash alone some servers
would have twice the prefixes of others. A call that finds no room waits for its prefix's own server. A
place that comes free goes to a call that waits for that server, so that prefixes stay where their cache is
even when every server is full; only a server for which nobody waits takes a call from the longest queue.
Places are handed over, never left to a race.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from rro_sdk.inference.retry import Outage
from rro_sdk.inference.routing import choose, least_loaded, preference
from rro_sdk.inference.slot import Slot

REMEMBERED = 65_536
"""Prefixes whose server is kept, those used last: more than a fleet has in flight, in a few megabytes."""

NOBODY: Set[Slot] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A call that waits for a place."""

    turn: asyncio.Future[Slot]
    affinity: str
    failed: Set[Slot]


class Places:
    """The places of all servers of a fleet.

    Args:
        slots: the servers.
        outage_s: how long calls wait while no server can be asked at all.
    """

    def __init__(self, slots: Sequence[Slot], outage_s: float) -> None:
        self.taken = 0
        self._slots = list(slots)
        self._outage_s = outage_s
        self._usable: list[Slot] = []
        self._limit = self._free = 0
        self._queues: dict[Slot | None, deque[_Call]] = {}
        self._homes: OrderedDict[str, Slot] = OrderedDict()
        self._outage: asyncio.TimerHandle | None = None
        self.changed()

    def join(self, slot: Slot) -> None:
        """One more server; prefixes stay where they are."""
        self._slots.append(slot)
        self.changed()

    async def take(self, affinity: str, failed: Set[Slot] = NOBODY) -> Slot:
        """A place on the server that suits; `give_back` it.

        Args:
            affinity: name of the prefix, "" for none.
            failed: servers that failed this call, asked again only if there is no other.

        Raises:
            Outage: no server could be asked for `outage_s`; says why of each.
        """
        slot = self._choose(affinity, failed)
        if slot is not None:
            return self._taken(slot)
        call = _Call(asyncio.get_running_loop().create_future(), affinity, failed)
        self._queue(call)
        self._watch_outage()
        try:
            return await call.turn
        except asyncio.CancelledError:
            if call.turn.done() and not call.turn.cancelled() and call.turn.exception() is None:
                self.give_back(call.turn.result())  # handed over just before
            for queue in self._queues.values():
                if call in queue:
                    queue.remove(call)
            raise

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return sum(map(len, self._queues.values()))

    def give_back(self, slot: Slot) -> None:
        """The place is free; somebody who waits gets it at once."""
        slot.active -= 1
        self.taken -= 1
        if not slot.active:
            slot.idle.set()
        if slot.usable and slot.active < slot.limit:
            self._free += 1
            self._hand_out(slot)

    def changed(self) -> None:
        """Some server went, came back or has another limit."""
        self._usable = [slot for slot in self._slots if slot.usable]
        self._limit = sum(slot.limit for slot in self._usable)
        self._free = sum(max(0, slot.limit - slot.active) for slot in self._usable)
        for home in [slot for slot in self._queues if slot is not None and not slot.usable]:
            for call in self._queues.pop(home):
                self._queue(call)
        for slot in self._usable:
            self._hand_out(slot)
        self._watch_outage()

    def _choose(self, affinity: str, failed: Set[Slot]) -> Slot | None:
        if not self._free:
            return None  # no server need be looked at
        among = self._allowed(failed)
        if len(among) == 1:
            return among[0] if among[0].active < among[0].limit else None
        if not affinity or not among:
            return least_loaded(among)
        allowed = among if failed else None  # a list of all servers is not worth searching
        order = (
            slot for slot in self._order(affinity) if slot.usable and (allowed is None or slot in allowed)
        )
        return choose(order, self.taken, self._limit)

    def _allowed(self, failed: Set[Slot]) -> list[Slot]:
        if not failed:
            return self._usable
        return [slot for slot in self._usable if slot not in failed] or self._usable

    def _queue(self, call: _Call) -> None:
        """Let it wait for the server that its prefix wants most."""
        allowed = self._allowed(call.failed)
        wanted = (
            (slot for slot in self._order(call.affinity) if slot in allowed) if call.affinity else iter(())
        )
        home = next(wanted, None)
        self._queues.setdefault(home, deque()).append(call)
        for slot in allowed if home is None else (home,):
            slot.was_reached()

    def _order(self, affinity: str) -> Iterator[Slot]:
        """The servers as a prefix wants them: first where it lives, which is where least was going on when
        it came; then by its hash."""
        home = self._homes.get(affinity)
        if home is None:
            home = min((slot for slot in self._hashed(affinity) if slot.usable), key=self._load, default=None)
            if home is None:
                return
            self._homes[affinity] = home
            if len(self._homes) > REMEMBERED:
                self._homes.popitem(last=False)
        else:
            self._homes.move_to_end(affinity)
        yield home
        yield from (slot for slot in self._hashed(affinity) if slot is not home)

    def _hashed(self, affinity: str) -> tuple[Slot, ...]:
        return preference(affinity, self._slots, lambda slot: slot.server.url)

    def _load(self, slot: Slot) -> float:
        """What a server does and what waits for it, over what it can do at once."""
        return (slot.active + len(self._queues.get(slot, ()))) / slot.limit

    def _taken(self, slot: Slot) -> Slot:
        slot.active += 1
        slot.idle.clear()
        self.taken += 1
        self._free -= 1
        return slot

    def _hand_out(self, slot: Slot) -> None:
        while slot.usable and slot.active < slot.limit and (call := self._next(slot)) is not None:
            call.turn.set_result(self._taken(slot))

    def _next(self, slot: Slot) -> _Call | None:
        """The call that gets a place on this server: its own first, then one without a prefix, then the
        longest queue's."""
        for queue in self._in_order(slot):
            call = _pop(queue, lambda call: slot in self._allowed(call.failed))
            if call is not None:
                return call
        return None

    def _in_order(self, slot: Slot) -> list[deque[_Call]]:
        if not self._queues:
            return []
        own = [queue for home in (slot, None) if (queue := self._queues.get(home))]
        if own:
            return own
        waiting = [queue for queue in self._queues.values() if queue]
        return [max(waiting, key=len)] if waiting else []

    def _watch_outage(self) -> None:
        """Only the time in which no server works counts; waiting for a place has no deadline."""
        away = any(self._queues.values()) and all(slot.why is not None for slot in self._slots)
        if not away and self._outage is not None:
            self._outage.cancel()
            self._outage = None
        elif away and self._outage is None:
            loop = asyncio.get_running_loop()
            self._outage = loop.call_later(self._outage_s, self._give_up)

    def _give_up(self) -> None:
        self._outage = None
        said = "; ".join(f"{slot.server.url}: {slot.why}" for slot in self._slots)
        for queue in self._queues.values():
            while (call := _pop(queue, lambda _: True)) is not None:
                call.turn.set_exception(
                    Outage(
                        f"no server could be asked for {self._outage_s:g} s ({said})",
                        url=self._slots[0].server.url,
                    )
                )


def _pop(queue: deque[_Call], suits: Callable[[_Call], bool]) -> _Call | None:
    """The first call that still waits and suits; those that gave up are dropped."""
    while queue and queue[0].turn.done():
        queue.popleft()
    for call in queue:
        if not call.turn.done() and suits(call):
            queue.remove(call)
            return call
    return None
