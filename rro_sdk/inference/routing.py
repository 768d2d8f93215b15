"""Who gets a request: pure functions of what each server has in flight.

Rendezvous hashing gives every prefix its own order of servers, so that a server that leaves or joins moves
no prefixes but its own. Bounded loads (arXiv 1608.01350) keep the first of them from being swamped while
others idle: a prefix spills to the next of its own order, so its spilled calls share a cache too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

SPREAD = 1.25
"""A server takes at most this many times its fair share of what is in flight: the point past which, in the
paper on bounded loads, moving fewer keys costs more in balance than it saves."""

ROOM = 0.5
"""... but no server that is less than half full sends a call away: nobody waits there, and a
cache is worth more."""


class Loaded(Protocol):
    """What routing needs to know of a server."""

    @property
    def active(self) -> int: ...

    @property
    def limit(self) -> int: ...


S = TypeVar("S", bound=Loaded)
T = TypeVar("T")


def preference(affinity: str, servers: Sequence[T], name: Callable[[T], str]) -> tuple[T, ...]:
    """All servers in the order in which a prefix wants them."""
    prefix = affinity.encode("utf-8", "surrogatepass")

    def weight(server: T) -> bytes:
        return hashlib.blake2b(prefix + b"\x00" + name(server).encode(), digest_size=8).digest()

    return tuple(sorted(servers, key=weight, reverse=True))


def choose(order: Iterable[S], active: int, limit: int) -> S | None:
    """The first server of a prefix's order that has room, or None where none has.

    Args:
        order: the servers that may be asked, as the prefix prefers them.
        active: requests in flight on all of them.
        limit: sum of their limits.
    """
    spare: S | None = None
    for server in order:
        if server.active >= server.limit:
            continue
        fair = SPREAD * (active + 1) * server.limit / limit
        if server.active < max(math.ceil(fair), int(server.limit * ROOM)):
            return server
        if spare is None:
            spare = server
    return spare


def least_loaded(servers: Iterable[S]) -> S | None:
    """For a call without a prefix to share: the server with the largest share of its limit free."""
    free = [server for server in servers if server.active < server.limit]
    return min(free, key=lambda server: server.active / server.limit, default=None)


def common_version(current: str, versions: Sequence[str]) -> str:
    """The weight version that a fleet is at: the one that most servers have; ties go to the current one.

    So a server that restarted with its first weights is the odd one out, and a reload that goes from
    server to server carries the fleet with it once it has passed the middle.

    Args:
        current: what the fleet was at, "" if unknown.
        versions: of each server, "" where unknown.
    """
    counts: dict[str, int] = {}
    for version in versions:
        if version:
            counts[version] = counts.get(version, 0) + 1
    if not counts:
        return current
    most = max(counts.values())
    if counts.get(current, 0) == most:
        return current
    return next(version for version, count in counts.items() if count == most)
