"""One server of a fleet: the room that it has left, and whether it may be asked."""

from __future__ import annotations

import asyncio

import msgspec
from asyncio_throttle import Throttler

from rro_sdk.inference.limit import FixedLimit, LatencyLimit, LoadLimit
from rro_sdk.inference.server import Server
from rro_sdk.types import Usage

REST_S = (0.5, 5.0)
"""Between two looks at one that does not: doubles from the first to the second until it completes something,
so that it is back at work within 5 s of its recovery."""

Control = FixedLimit | LoadLimit | LatencyLimit


class ServerStatus(msgspec.Struct, frozen=True):
    """One server of a fleet at one moment.

    Attributes:
        url: its address.
        in_flight: requests of ours that hold a place on it.
        limit: requests that it gets at once; 0 while it gets none.
        version: the weights that it was last seen with; "" where it does not say.
        why: why it gets no requests; None where it does.
        held: whether it is left alone for a while, as during a reload.
        requests: completions since the fleet began.
        usage: what they cost.
    """

    url: str
    in_flight: int = 0
    limit: int = 0
    version: str = ""
    why: str | None = None
    held: bool = False
    requests: int = 0
    usage: Usage = Usage()


class Slot:
    """One server: the room that it has left, and why it may not be asked if it may not."""

    def __init__(self, server: Server, control: Control, requests_per_second: float | None = None) -> None:
        self.server = server
        self.active = 0
        self.control = control
        self.limit = control.value
        self.version = ""
        self.out: str | None = None
        """Why it is out of rotation, if it is."""
        self.stale = False
        """Whether its weights are not the fleet's."""
        self.barred: str | None = None
        """Why no probe can bring it back: a reload of it failed."""
        self.unlisted = False
        """Whether the list of servers holds it no longer."""
        self.rest_s = REST_S[0]
        self.failures = 0
        self.holds = 0
        """Callers that want it left alone for a while."""
        self.reached = False
        """Whether the limit held a call back since the last look."""
        self.growing = True
        """Whether the last look raised the limit, so that the next is worth having soon."""
        self.leases: set[asyncio.Timeout] = set()
        self.idle = asyncio.Event()
        self.idle.set()
        self.look = asyncio.Event()
        self.tokens = 0
        self.seconds = 0.0
        self.finished = 0
        self.requests = 0
        self.usage = Usage()
        self.gate = RateGate(requests_per_second) if requests_per_second else None

    @property
    def usable(self) -> bool:
        return self.why is None and not self.holds

    @property
    def why(self) -> str | None:
        """Why it gets no requests, if it gets none."""
        return self.barred or self.out or (f"it serves weight version {self.version}" if self.stale else None)

    def was_reached(self) -> None:
        """Its limit held a call back."""
        self.reached = True
        if self.growing:
            self.look.set()

    @property
    def status(self) -> ServerStatus:
        return ServerStatus(
            self.server.url,
            self.active,
            self.limit if self.why is None else 0,
            self.version,
            self.why,
            bool(self.holds),
            self.requests,
            self.usage,
        )

    def completed(self, seconds: float, usage: Usage) -> None:
        """It did a request: it is well, and this is how long it took."""
        self.failures, self.rest_s = 0, REST_S[0]
        self.finished += 1
        self.seconds += seconds
        self.tokens += usage.completion_tokens
        self.requests += 1
        self.usage += usage

    def rest(self, why: str) -> None:
        """Out of rotation, and what it has in flight is tried elsewhere."""
        if self.out is not None:
            self.rest_s = min(2 * self.rest_s, REST_S[1])
        self.out = why
        now = asyncio.get_running_loop().time()
        for lease in self.leases:
            if not lease.expired():
                lease.reschedule(now)


def window(per_second: float) -> tuple[int, float]:
    """A rate as a whole number of requests, and the seconds in which that many may go."""
    requests = max(1, int(per_second))
    return requests, requests / per_second


class RateGate:
    """Lets calls through at a rate. asyncio-throttle polls, so one task asks it on behalf of all callers."""

    def __init__(self, per_second: float) -> None:
        self._throttler = Throttler(*window(per_second))
        self._queue: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def run(self) -> None:
        while True:
            turn = await self._queue.get()
            if not turn.done():  # a caller that gave up uses none of the rate
                async with self._throttler:
                    pass
                if not turn.done():
                    turn.set_result(None)

    async def pass_through(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(turn)
        await turn
