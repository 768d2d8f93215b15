"""Many servers as one: who gets a request, how many at once, what happens when one fails.

Roles: a `Slot` is one server with its limit and whether it may be asked; a watcher task per slot looks at
its load and brings it back when it recovers; `Fleet` owns them for the length of one `async with` block
and is the only thing that chooses between them. What it chooses by is in `routing.py` and `limit.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rro_sdk._concurrency import event_within
from rro_sdk.errors import ConfigError, ServerError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.address import normalise_all
from rro_sdk.inference.limit import FixedLimit, LatencyLimit, LoadLimit
from rro_sdk.inference.listed import Listed
from rro_sdk.inference.places import Places
from rro_sdk.inference.retry import RetrySettings, with_retries
from rro_sdk.inference.routing import common_version
from rro_sdk.inference.server import ABORTED_STATUS, ModelInfo, Server
from rro_sdk.inference.slot import REST_S, Control, ServerStatus, Slot
from rro_sdk.inference.transport import ServerLost, Transport
from rro_sdk.inference.wire import ChatRequest, Completion
from rro_sdk.types import Retried, VersionChanged, Wasted

FleetEvent = Retried | VersionChanged | Wasted

LOOK_S = 1.0
"""Between two looks at a server that works: a dead one is found within this, a limit grows at this pace."""

SETTLE_S = 0.05
"""Between two looks at the least, so that what the last one changed can be seen."""

LOOK_TIMEOUT_S = 15.0
"""A look is answered between two batches; a contended CPU server takes seconds for one."""

MISSES = 2
"""Looks without an answer in time before a server counts as hung. One may be a long prefill."""

FAILURES = 3
"""Calls in a row that fail before a server rests although it answers: fewer may be one bad moment."""

FOLLOW_S = 1.0
"""Between two looks at a list of servers: as soon as a dead server is found."""

WINDOW = 4
"""Requests per unit of limit in a window of `LatencyLimit`: enough for the mean to settle."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How servers are used.

    Attributes:
        concurrency: requests in flight per server; None lets each server's own queue decide.
        highest_concurrency: where None may go at most.
        request_timeout_s: deadline of one completion. A contended CPU server needs minutes.
        outage_s: how long a call waits while no server can be asked.
        requests_per_second: cap per server for servers shared with others; None for no cap.
        api_key: bearer token of the servers.
        admin_api_key: bearer token of aborts, where the servers have an admin key.
        retry: bounds on trying again.
    """

    concurrency: int | None = None
    highest_concurrency: int = 1024
    request_timeout_s: float = 300.0
    outage_s: float = 300.0
    requests_per_second: float | None = None
    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)
    retry: RetrySettings = field(default_factory=RetrySettings)

    def __post_init__(self) -> None:
        for name in ("concurrency", "highest_concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"fleet {name} must be at least 1, not {value}")
        for name in ("request_timeout_s", "outage_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"fleet {name} must be above 0, not {getattr(self, name)}")
        if self.requests_per_second is not None and self.requests_per_second <= 0:
            raise ConfigError(f"requests_per_second must be above 0, not {self.requests_per_second}")

    def control(self) -> Control:
        """What sets the limit of one server, at its start."""
        if self.concurrency is not None:
            return FixedLimit(self.concurrency)
        return LoadLimit(highest=self.highest_concurrency)


class Fleet:
    """A set of servers that serve the same model.

    All calls with one `affinity` go to one server while it has room, so that they share its prefix
    cache; without, they spill to the next in that prefix's order (`routing.py`).

    Args:
        servers: URLs such as http://127.0.0.1:30000, and `@FILE` for those that a file lists, which the
            fleet follows (`listed.py`).
        settings: see `FleetSettings`.
        transport: what carries requests, entered and left with the fleet; aiohttp if None.

    Attributes:
        urls: the servers, normalised; of a file, those that it lists now.
        retries: requests that were tried again.
        observe: told of requests that were tried again or came to nothing, and of other weights.

    Raises:
        ConfigError: a URL that cannot be right, one given twice, or a file that lists none.
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
        self._listed = Listed(servers)
        self.retries = 0
        self.observe: Callable[[FleetEvent], None] = lambda event: None
        self._weight_version = ""
        self._stack = AsyncExitStack()
        self._slots: list[Slot] = []
        self._make: Callable[[str], Slot] | None = None
        self._watching: dict[Slot, asyncio.Task[None]] = {}
        self._gates: list[asyncio.Task[None]] = []
        self._places = Places([], self.settings.outage_s)

    async def __aenter__(self) -> Self:
        transport = await self._stack.enter_async_context(self._transport)
        control = None
        if self.settings.admin_api_key:
            control = await self._stack.enter_async_context(Transport(api_key=self.settings.admin_api_key))

        def make(url: str) -> Slot:
            server = Server(url, transport, control=control, note=self._note)
            slot = Slot(server, self.settings.control(), self.settings.requests_per_second)
            if slot.gate is not None:  # runs to the fleet's end: whoever stands at it must not be forgotten
                self._gates.append(asyncio.create_task(slot.gate.run()))
            return slot

        self._make = make
        self._slots = [make(url) for url in self.urls]
        self._places = Places(self._slots, self.settings.outage_s)
        for slot in self._slots:
            self._begin(slot)
        self._stack.push_async_callback(self._end_all)
        if self._listed.may_change:
            following = asyncio.create_task(self._follow())
            self._stack.push_async_callback(_end, [following])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def urls(self) -> tuple[str, ...]:
        return self._listed.urls

    @property
    def weight_version(self) -> str:
        """Of every server that may be given requests; "" before `check`, and where servers do not say."""
        return self._weight_version

    @weight_version.setter
    def weight_version(self, version: str) -> None:
        before, self._weight_version = self._weight_version, version
        if before and version != before:
            self._note(VersionChanged(before, version))

    @property
    def in_flight(self) -> int:
        """Requests that hold a place on some server now."""
        return self._places.taken

    def room(self) -> int:
        """Requests that could be sent now without keeping anyone waiting."""
        return max(0, sum(self.limits.values()) - self._places.taken - self._places.waiting)

    @property
    def limits(self) -> dict[str, int]:
        """Requests that each server gets at once now, by URL; those that are out get none."""
        return {slot.server.url: slot.limit if slot.why is None else 0 for slot in self._present}

    @property
    def out(self) -> dict[str, str]:
        """Servers that get no requests now and why, by URL."""
        return {slot.server.url: slot.why for slot in self._present if slot.why is not None}

    @property
    def status(self) -> tuple[ServerStatus, ...]:
        """What each server does now and did so far, those that are no longer listed included."""
        return tuple(slot.status for slot in self._slots)

    async def check(self) -> dict[str, ModelInfo]:
        """Ask every server what it serves, before any work is given out.

        Returns:
            Each server's answer by URL.

        Raises:
            ServerError: one does not answer; it is named.
            ConfigError: they serve different models or weight versions; all are named.
        """
        slots = self._present
        infos = await asyncio.gather(*(slot.server.model_info() for slot in slots))
        found = {slot.server.url: info for slot, info in zip(slots, infos, strict=True)}
        if len({(info.model_path, info.weight_version) for info in infos}) > 1:
            said = ", ".join(
                f"{url} serves {info.model_path} version {info.weight_version or 'unknown'}"
                for url, info in found.items()
            )
            raise ConfigError(f"the servers differ: {said}; reload them to one checkpoint first")
        self.weight_version = infos[0].weight_version
        for slot in slots:
            slot.version = self.weight_version
        return found

    @asynccontextmanager
    async def held(self, urls: Sequence[str]) -> AsyncGenerator[None, None]:
        """Give these servers no new requests, and wait until none of theirs is in flight.

        For the length of the block; calls wait, or go to the other servers.

        Raises:
            ConfigError: a URL that is none of the fleet's.
        """
        wanted = normalise_all(urls)
        if unknown := [url for url in wanted if url not in self.urls]:
            raise ConfigError(f"server {unknown[0]} is none of this fleet's ({', '.join(self.urls)})")
        slots = [slot for slot in self._present if slot.server.url in wanted]
        for slot in slots:
            slot.holds += 1
        self._places.changed()
        try:
            await asyncio.gather(*(slot.idle.wait() for slot in slots))
            yield
        finally:
            for slot in slots:
                slot.holds -= 1
                slot.look.set()  # what it serves may have changed
            self._places.changed()

    def settle(self, weight_version: str, failed: Mapping[str, str], urls: Collection[str]) -> None:
        """What came of a reload of some of the servers.

        Args:
            weight_version: of every server that may be given requests from now on.
            failed: servers that get none until a later reload takes them, and why, by URL.
            urls: the servers that it was to reload. Of the others only those are asked on that have the same
                weights, except where all of these failed: then the others go on as they are.
        """
        if any(url not in failed for url in urls):
            self.weight_version = weight_version
        for slot in self._slots:
            if slot.server.url in urls:
                slot.barred = failed.get(slot.server.url)
                if slot.barred is None:
                    slot.version = weight_version
            slot.stale = bool(slot.version) and slot.version != self.weight_version
            slot.look.set()
        self._places.changed()

    async def complete(self, request: ChatRequest, *, affinity: str = "") -> Completion:
        """One completion from whichever server suits, tried again elsewhere where that makes sense.

        Raises:
            ServerError: the last failure, when the retry bounds are reached.
        """
        failed: set[Slot] = set()

        async def attempt() -> Completion:
            slot = await self._places.take(affinity, failed)
            try:
                return await self._ask(slot, request)
            except ServerError as error:
                if not (isinstance(error, ServerRefused) and error.status == ABORTED_STATUS):
                    failed.add(slot)  # an abort is the work of whoever asked for it
                self._blame(slot, error)
                raise
            finally:
                self._places.give_back(slot)

        return await with_retries(attempt, self.settings.retry, self._count_retry)

    async def _ask(self, slot: Slot, request: ChatRequest) -> Completion:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as lease:
                slot.leases.add(lease)
                try:
                    if slot.gate is not None:
                        await slot.gate.pass_through()
                    began = loop.time()
                    completion = await slot.server.complete(
                        request, timeout_s=self.settings.request_timeout_s
                    )
                finally:
                    slot.leases.discard(lease)
        except ServerError:  # its own deadline is a TimeoutError too
            raise
        except TimeoutError:
            raise ServerUnreachable(
                f"server {slot.server.url} went out of rotation: {slot.out}", url=slot.server.url
            ) from None
        slot.completed(loop.time() - began, completion.usage)
        if completion.weight_versions and completion.weight_versions[-1] != slot.version:
            self._serves(slot, completion.weight_versions[-1])
        return completion

    def _count_retry(self, error: BaseException) -> None:
        self.retries += 1
        self._note(Retried(error.url if isinstance(error, ServerError) else "", type(error).__name__))

    def _note(self, event: FleetEvent) -> None:
        self.observe(event)

    def _blame(self, slot: Slot, error: ServerError) -> None:
        """What a failed call says of its server: nothing, if the request was at fault or it rests already."""
        status = error.status or 0 if isinstance(error, ServerRefused) else 500
        if status in (429, 503):
            self._limit(slot, slot.control.refused())
        if status in (429, 503) or status < 500 or slot.out is not None:
            return
        lost = isinstance(error, ServerLost)
        if lost and slot.failures and slot.look.is_set():
            return  # connections that break at once are one bad moment, and the look says what it was
        slot.failures += 1
        if (isinstance(error, ServerUnreachable) and not lost) or slot.failures >= FAILURES:
            self._rest(slot, str(error))
        else:
            slot.look.set()

    def _rest(self, slot: Slot, why: str) -> None:
        slot.rest(why)
        slot.look.set()
        self._places.changed()

    def _serves(self, slot: Slot, version: str) -> None:
        """A server says which weights it has: leave out those whose weights are not the fleet's."""
        slot.version = version
        self.weight_version = common_version(self.weight_version, [each.version for each in self._present])
        for each in self._slots:
            each.stale = bool(each.version) and each.version != self.weight_version
            each.look.set()
        self._places.changed()

    def _limit(self, slot: Slot, control: Control) -> None:
        more = control.value - slot.limit
        slot.control, slot.limit, slot.reached, slot.growing = control, control.value, False, more > 0
        if more:
            self._places.changed()

    @property
    def _present(self) -> list[Slot]:
        """The servers that are listed; the others stay for what they did."""
        return [slot for slot in self._slots if not slot.unlisted]

    def _begin(self, slot: Slot) -> None:
        self._watching[slot] = asyncio.create_task(self._watch(slot))

    async def _end_all(self) -> None:
        await _end([*self._watching.values(), *self._gates])

    async def _follow(self) -> None:
        """Read the list of servers again and again."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            if await asyncio.to_thread(self._listed.look):
                await self._go_over(set(self.urls))

    async def _go_over(self, urls: set[str]) -> None:
        """Take in the servers that are listed now and were not, and let go of those that are no longer."""
        assert self._make is not None
        known = {slot.server.url: slot for slot in self._slots}
        for url, slot in known.items():
            if url not in urls and not slot.unlisted:
                slot.unlisted = True
                slot.rest("it is no longer listed")
                await _end([self._watching.pop(slot)])
        for url in self.urls:
            slot = known.get(url) or self._make(url)
            if url in known and not slot.unlisted:
                continue
            slot.unlisted, slot.barred, slot.rest_s = False, None, REST_S[0]
            slot.out = "it was just listed"  # until it says which weights it serves
            if url not in known:
                self._slots.append(slot)
                self._places.join(slot)
            self._begin(slot)
        self._places.changed()

    async def _watch(self, slot: Slot) -> None:
        """Look at one server again and again."""
        misses = 0
        while True:
            if slot.out is not None:
                await asyncio.sleep(slot.rest_s)
            else:
                await asyncio.sleep(SETTLE_S)
                await event_within(slot.look, LOOK_S - SETTLE_S)
            slot.look.clear()
            try:
                if slot.why is None:
                    await self._look(slot)
                else:
                    await self._read_version(slot)
                    slot.out = None
                    self._places.changed()
                misses = 0
            except (ServerUnreachable, ServerTimeout) as error:
                misses += 1
                if isinstance(error, ServerUnreachable) or misses >= MISSES:
                    self._rest(slot, str(error))
            except ServerError as error:
                # It answers, if not as asked. What serves requests goes on; what rests goes on resting.
                if slot.out is not None:
                    self._rest(slot, str(error))

    async def _look(self, slot: Slot) -> None:
        if slot.failures:  # it may be gone, with nothing left on it to tell
            await self._read_version(slot)
        if isinstance(slot.control, FixedLimit):
            if slot.active and not slot.failures:
                await self._read_version(slot)
            return
        if isinstance(slot.control, LatencyLimit):
            if slot.finished >= WINDOW * slot.limit and slot.tokens:
                pace = slot.seconds / slot.tokens
                slot.finished, slot.seconds, slot.tokens = 0, 0.0, 0
                self._limit(slot, slot.control.seen(pace, reached=slot.reached))
            return
        if not slot.active:
            return
        try:
            load = await slot.server.loads(timeout_s=LOOK_TIMEOUT_S)
        except ServerRefused as error:
            if error.status != 404:
                raise
            slot.control = LatencyLimit(slot.limit, self.settings.highest_concurrency)
            return
        self._limit(slot, slot.control.seen(load, reached=slot.reached))

    async def _read_version(self, slot: Slot) -> None:
        info = await slot.server.model_info(timeout_s=LOOK_TIMEOUT_S)
        if info.weight_version != slot.version:
            self._serves(slot, info.weight_version)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
