"""One fake server between requests: versions, pause, power, and the engine that does its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

from servers.fake.counters import Counters
from servers.fake.engine import Clock, Engine
from servers.fake.prompts import Prompts
from servers.fake.settings import LASTING_FAULTS, SERVER_FAULTS, FakeSettings, Fault, FaultKind


class FakeState:
    """Belongs to one event loop; `start` it there.

    Args:
        settings: how it behaves.
        prompts: shared by servers of one process, so that a prompt is split once; its own if None.
        on_power: told False when the server dies and True when it is back.
    """

    def __init__(
        self,
        settings: FakeSettings,
        *,
        prompts: Prompts | None = None,
        on_power: Callable[[bool], None] = lambda up: None,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.prompts = prompts or Prompts()
        self.resumed = asyncio.Event()
        self.accepting = asyncio.Event()
        """Clear while an update of the weights waits or works: as with SGLang's lock, it goes first."""
        self.updating = asyncio.Lock()
        self.up = True
        self.engine: Engine
        self.pause_mode: str | None
        self._on_power = on_power
        self._timers: list[asyncio.TimerHandle] = []
        self._began = 0.0
        self._as_new()

    def start(self, clock: Clock) -> None:
        """Begin: the time of timed faults counts from here.

        Args:
            clock: the event loop, or what stands in for it.
        """
        settings = self.settings
        self._clock = clock
        self._began = clock.time()
        self.engine = Engine(
            settings.latency,
            settings.max_running_requests,
            settings.max_total_tokens,
            lambda: self.weight_version,
            self.counters,
            clock,
        )
        for timed in settings.timed_faults:
            if timed.fault.kind in ("restart", "dead"):
                when = self._began + timed.from_s
                self._timers.append(clock.call_at(when, partial(self.befall, timed.fault)))

    def stop(self) -> None:
        """Let nothing that is scheduled happen any more, and give up what is in flight."""
        for timer in self._timers:
            timer.cancel()
        self.engine.crash()

    def _as_new(self) -> None:
        self.model_path = self.settings.model_path
        self.served_name = self.settings.served_name
        self.weight_version = self.settings.weight_version
        self.previous_version = self.settings.weight_version
        self.pause_mode = None
        self._lasting: set[FaultKind] = set()
        self.accepting.set()
        self.resumed.set()

    def next_fault(self) -> Fault | None:
        """The fault of the generation request that arrives now; one of the whole server happens at once."""
        self.counters.requests += 1
        of_this_time = (fault for fault in self._timed() if fault.kind not in SERVER_FAULTS)
        fault = self.settings.faults.get(self.counters.requests) or next(of_this_time, None)
        if fault is not None:
            self.counters.faults += 1
            if fault.kind in SERVER_FAULTS:
                self.befall(fault)
        return fault

    def holds(self, kind: FaultKind) -> bool:
        """Whether the server has a lasting fault now."""
        return kind in self._lasting or any(fault.kind == kind for fault in self._timed())

    def _timed(self) -> Iterator[Fault]:
        """The faults of this time."""
        if not self.settings.timed_faults:
            return
        since = self._clock.time() - self._began
        for timed in self.settings.timed_faults:
            if timed.from_s <= since < timed.until_s:
                yield timed.fault

    def befall(self, fault: Fault) -> None:
        """A fault of the whole server."""
        if fault.kind in LASTING_FAULTS:
            self._lasting.add(fault.kind)
            return
        self._as_new()
        self.engine.crash()
        if fault.kind == "dead" and self.up:
            self.up = False
            self._on_power(False)
            self._timers.append(self._clock.call_at(self._clock.time() + fault.seconds, self._back))

    def _back(self) -> None:
        self.up = True
        self._on_power(True)

    def set_version(self, version: str) -> None:
        if version != self.weight_version:
            self.engine.mark_version(self.weight_version)
            self.previous_version = self.weight_version
        self.weight_version = version

    def pause(self, mode: str) -> None:
        self.pause_mode = mode
        self.resumed.clear()
        if mode == "abort":
            self.engine.abort(None)
        self.engine.freeze()
        if mode == "retract":
            self.engine.retract()

    def resume(self) -> None:
        if self.holds("resume_ignored"):
            return
        self.pause_mode = None
        self.engine.thaw()
        self.resumed.set()
