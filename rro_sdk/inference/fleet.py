"""Many servers as one: who gets a request, how many at once, what happens when one fails.

Roles: `_Slot` is one server with its limit and its health; `Fleet` owns the slots for the length of
one `async with` block and is the only thing that chooses between them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from asyncio_throttle import Throttler

from rro_sdk.errors import ConfigError, ServerError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.address import normalise_all
from rro_sdk.inference.retry import RetrySettings, with_retries
from rro_sdk.inference.server import ModelInfo, Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.wire import ChatRequest, Completion


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How servers are used.

    Attributes:
        concurrency: requests in flight per server. 32 is where a small model on CPU stops gaining
            and the `--max-running-requests` of our own launch.
        request_timeout_s: deadline of one completion. A contended CPU server needs minutes.
        rest_s: seconds for which a server that failed is asked only if every other one failed too.
        requests_per_second: cap per server for servers shared with others; None for no cap.
        api_key: bearer token of the servers.
        retry: bounds on trying again.
    """

    concurrency: int = 32
    request_timeout_s: float = 300.0
    rest_s: float = 5.0
    requests_per_second: float | None = None
    api_key: str | None = field(default=None, repr=False)
    retry: RetrySettings = field(default_factory=RetrySettings)

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"fleet concurrency must be at least 1, not {self.concurrency}")
        if self.request_timeout_s <= 0:
            raise ConfigError(f"fleet request_timeout_s must be above 0, not {self.request_timeout_s}")
        if self.requests_per_second is not None and self.requests_per_second <= 0:
            raise ConfigError(f"requests_per_second must be above 0, not {self.requests_per_second}")


class _Slot:
    """One server, the room that it has left and when it may be asked again."""

    def __init__(self, server: Server, settings: FleetSettings) -> None:
        self.server = server
        self.limit = settings.concurrency
        self.active = 0
        self.rests_until = 0.0
        # asyncio-throttle polls, so waiters hold a place in `active`: at most `concurrency` of them poll.
        self.throttle = (
            Throttler(rate_limit=max(1, round(settings.requests_per_second)), period=1.0)
            if settings.requests_per_second and settings.requests_per_second >= 1
            else Throttler(rate_limit=1, period=1.0 / settings.requests_per_second)
            if settings.requests_per_second
            else None
        )


class Fleet:
    """A set of servers that serve the same model.

    All calls with one `affinity` go to one server while it has room, so that they share its prefix
    cache; with no room there, the server with most room takes the call.

    Args:
        servers: URLs such as http://127.0.0.1:30000.
        settings: see `FleetSettings`.
        transport: what carries requests, entered and left with the fleet; aiohttp if None.

    Raises:
        ConfigError: a URL that cannot be right, or one given twice.
    """

    def __init__(
        self,
        servers: Sequence[str],
        settings: FleetSettings | None = None,
        *,
        transport: Transport | None = None,
    ) -> None:
        self.settings = settings or FleetSettings()
        self._transport = transport or Transport(api_key=self.settings.api_key)
        self.urls = normalise_all(servers)
        self.retries = 0
        self._stack = AsyncExitStack()
        self._slots: list[_Slot] = []
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> Self:
        transport = await self._stack.enter_async_context(self._transport)
        self._slots = [_Slot(Server(url, transport), self.settings) for url in self.urls]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def in_flight(self) -> int:
        """Requests that hold a place on some server now."""
        return sum(slot.active for slot in self._slots)

    async def check(self) -> dict[str, ModelInfo]:
        """Ask every server what it serves, before any work is given out.

        Returns:
            Each server's answer by URL.

        Raises:
            ServerError: one does not answer; it is named.
            ConfigError: they serve different models or weight versions; all are named.
        """
        infos = await asyncio.gather(*(slot.server.model_info() for slot in self._slots))
        found = dict(zip(self.urls, infos, strict=True))
        if len({(info.model_path, info.weight_version) for info in infos}) > 1:
            said = ", ".join(
                f"{url} serves {info.model_path} version {info.weight_version or 'unknown'}"
                for url, info in found.items()
            )
            raise ConfigError(f"the servers differ: {said}; reload them to one checkpoint first")
        return found

    async def complete(self, request: ChatRequest, *, affinity: str = "") -> Completion:
        """One completion from whichever server suits, tried again elsewhere where that makes sense.

        Raises:
            ServerError: the last failure, when the retry bounds are reached.
        """
        failed: set[str] = set()

        async def attempt() -> Completion:
            slot = await self._acquire(affinity, failed)
            try:
                if slot.throttle is not None:
                    async with slot.throttle:
                        pass
                return await slot.server.complete(request, timeout_s=self.settings.request_timeout_s)
            except ServerError as error:
                failed.add(slot.server.url)
                if _is_down(error):
                    slot.rests_until = asyncio.get_running_loop().time() + self.settings.rest_s
                raise
            finally:
                self._release(slot)

        return await with_retries(attempt, self.settings.retry, self._count_retry)

    def _count_retry(self, error: BaseException) -> None:
        self.retries += 1

    async def _acquire(self, affinity: str, failed: set[str]) -> _Slot:
        while True:
            slot = choose_slot(self._slots, affinity, failed, asyncio.get_running_loop().time())
            if slot is not None:
                slot.active += 1
                return slot
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake_next()  # the place that was ours to take must not be lost
                raise

    def _release(self, slot: _Slot) -> None:
        slot.active -= 1
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def choose_slot(slots: Sequence[_Slot], affinity: str, failed: set[str], now: float) -> _Slot | None:
    """The server for a call, or None while none has room.

    Checks, in order: servers that neither rest nor failed this call; else those that did not fail it;
    else all. Among them the affinity's own one if it has room, else the one with most room.
    """
    rested = [slot for slot in slots if slot.rests_until <= now and slot.server.url not in failed]
    pool = rested or [slot for slot in slots if slot.server.url not in failed] or list(slots)
    home = max(pool, key=lambda slot: _weight(affinity, slot.server.url)) if affinity else None
    if home is not None and home.active < home.limit:
        return home
    best = max(pool, key=lambda slot: slot.limit - slot.active)
    return best if best.active < best.limit else None


def _weight(affinity: str, url: str) -> bytes:
    """Rendezvous hashing: a server that leaves or joins moves no prefixes but its own."""
    return hashlib.blake2b(f"{affinity}\x00{url}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _is_down(error: ServerError) -> bool:
    return isinstance(error, ServerUnreachable | ServerTimeout) or (
        isinstance(error, ServerRefused) and (error.status or 0) >= 500
    )
