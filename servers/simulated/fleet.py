"""Any number of simulated servers, asked by address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from servers.fake.counters import Counters, Meter
from servers.fake.engine import Clock
from servers.fake.prompts import Prompts
from servers.fake.replies import Reply
from servers.fake.service import FakeService, Request
from servers.fake.settings import FakeSettings
from servers.fake.state import FakeState

T = TypeVar("T")


@dataclass(frozen=True)
class Totals:
    """What all servers together did up to one moment.

    Attributes:
        at_s: the moment, in virtual seconds.
        completed: completions.
        prompt_tokens: of them, cached or not.
        cached_tokens: prompt tokens that were not computed again.
        completion_tokens: generated.
        meter: where the servers' time went; sums over servers.
    """

    at_s: float
    completed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    meter: Meter


class SimulatedFleet:
    """Servers 0 to n - 1 at `urls`, in one process and one event loop. Make it inside the loop.

    Args:
        settings: one per server.
        metered: add up the real CPU seconds that the servers' own code takes, in `server_cpu_s`.
    """

    def __init__(self, settings: list[FakeSettings], *, metered: bool = False) -> None:
        clock: Clock = asyncio.get_running_loop()
        prompts = Prompts()
        self.server_cpu_s = 0.0
        self._metered = metered
        self._states = [FakeState(each, prompts=prompts) for each in settings]
        for state in self._states:
            state.start(_MeteredClock(clock, self._book) if metered else clock)
        self._services = {url_of(number): FakeService(state) for number, state in enumerate(self._states)}

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(self._services)

    @property
    def counters(self) -> list[Counters]:
        """Of each server."""
        return [state.counters for state in self._states]

    async def handle(self, server: str, request: Request) -> Reply:
        """One round trip to the server at this address; a connection that is reset if there is none."""
        service = self._services.get(server)
        if service is None:
            return Reply(delivery="reset")
        if self._metered:
            return await _Metered(service.handle(request), self._book)
        return await service.handle(request)

    def stop(self) -> None:
        for state in self._states:
            state.stop()

    def totals(self) -> Totals:
        counters = self.counters
        meters = [state.engine.read_meter() for state in self._states]
        return Totals(
            at_s=asyncio.get_running_loop().time(),
            completed=sum(each.completed for each in counters),
            prompt_tokens=sum(each.prompt_tokens for each in counters),
            cached_tokens=sum(each.cached_tokens for each in counters),
            completion_tokens=sum(each.completion_tokens for each in counters),
            meter=Meter(
                slot_s=sum(each.slot_s for each in meters),
                prefill_s=sum(each.prefill_s for each in meters),
                decode_s=sum(each.decode_s for each in meters),
                decode_steps=sum(each.decode_steps for each in meters),
                decode_tokens=sum(each.decode_tokens for each in meters),
            ),
        )

    def _book(self, seconds: float) -> None:
        self.server_cpu_s += seconds


def url_of(number: int) -> str:
    """The address of a simulated server; nothing listens there."""
    return f"http://simulated-{number}:1"


class _MeteredClock:
    """Books the time of callbacks as the servers'."""

    def __init__(self, clock: Clock, book: Callable[[float], None]) -> None:
        self.time = clock.time
        self._clock = clock
        self._book = book

    def call_at(self, when: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        def metered() -> None:
            began = time.thread_time()
            try:
                callback()
            finally:
                self._book(time.thread_time() - began)

        return self._clock.call_at(when, metered)


class _Metered(Generator[Any, Any, T]):
    """A coroutine, awaited while the CPU seconds that it takes between its waits are booked."""

    def __init__(self, work: Coroutine[Any, Any, T], book: Callable[[float], None]) -> None:
        self._work = work
        self._book = book

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        began = time.thread_time()
        try:
            return self._work.send(value)
        finally:
            self._book(time.thread_time() - began)

    def throw(self, *error: Any) -> Any:
        began = time.thread_time()
        try:
            return self._work.throw(*error)
        finally:
            self._book(time.thread_time() - began)
