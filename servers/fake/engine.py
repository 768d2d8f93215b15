"""How a fake server spends its time: queue, slots, prompts, decode steps. A state machine on a clock.

Requests wait for a slot and for room in the token memory, in order of arrival. Between two decode steps
the prompts of those that got in are computed together, holding up the rest; then all go on, one token a
step. The machine does not tick: it knows when the next sequence ends and sleeps until then, or until the
end of the step in which somebody arrives or is aborted.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, Protocol

from servers.fake.cache import TokenCache
from servers.fake.counters import Counters, Meter
from servers.fake.jobs import Ask, Generated, Job, SampleRun, ServerLostError, Span
from servers.fake.settings import Latency
from servers.fake.text import Sample, partial


class Clock(Protocol):
    """The part of an event loop that the machine uses."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> asyncio.TimerHandle: ...


EARLY_S = 1e-9
"""How early a timer may fire, and what sums of seconds lose to rounding."""


class Engine:
    """One server's work. Belongs to one event loop; everything here returns at once.

    Args:
        latency: how long things take.
        slots: sequences at once.
        max_tokens: see `TokenCache`.
        version: the weight version, at the time of asking.
        counters: kept up to date.
        clock: the event loop.
    """

    def __init__(
        self,
        latency: Latency,
        slots: int,
        max_tokens: int | None,
        version: Callable[[], str],
        counters: Counters,
        clock: Clock,
    ) -> None:
        self.cache = TokenCache(max_tokens)
        self.meter = Meter()
        self.idle = asyncio.Event()
        self.idle.set()
        self._latency = latency
        self._slots = slots
        self._version = version
        self._counters = counters
        self._clock = clock
        self._jobs: dict[Job, None] = {}
        self._waiting: deque[SampleRun] = deque()
        self._running: dict[SampleRun, None] = {}
        self._delayed: list[tuple[float, int, SampleRun]] = []
        self._ready: list[SampleRun] = []  # in a slot, prompt not computed
        self._prefilling: list[SampleRun] = []
        self._decoding: dict[SampleRun, None] = {}
        self._ends: list[tuple[int, int, SampleRun]] = []  # (step, order, sequence); may hold gone ones
        self._order = 0
        self._phase: Literal["prefill", "decode"] | None = None
        self._phase_began = 0.0
        self._phase_ends = 0.0
        self._step = 0  # decode steps made before this phase
        self._until_step = 0
        self._step_s = 0.0
        self._batch = 0
        self._timer: asyncio.TimerHandle | None = None
        self._frozen_at: float | None = None
        self._frozen_s = 0.0
        self._metered_at = 0.0

    # --- asking -----------------------------------------------------------------------------------

    def submit(self, ask: Ask, samples: Sequence[Sample]) -> Job:
        """Put a request into the queue; `Job.done` gets its result, or ServerLostError."""
        job = Job(ask, samples, asyncio.get_running_loop().create_future())
        self._jobs[job] = None
        self.idle.clear()
        self._waiting.extend(job.sequences)
        if self._frozen_at is None:
            self._move()
        self._count()
        return job

    def drop(self, job: Job) -> None:
        """Its client went away: nobody waits for the result."""
        if job in self._jobs and not job.deaf:
            self._remove(job)
            self._after_change()

    def abort(self, rid: str | None) -> None:
        """End the request of this id, or every one, with what there is of it."""
        for job in [job for job in self._jobs if rid is None or job.ask.rid == rid]:
            if not job.deaf:
                made = [self._made(sequence) for sequence in job.sequences]
                self._remove(job)
                self._counters.aborted += 1
                samples = [partial(sample, done) for sample, done in zip(job.samples, made, strict=True)]
                self._resolve(job, samples, max(made))
        self._after_change()

    def crash(self) -> None:
        """Lose everything: requests, tokens, pause."""
        self._close_phase()
        for job in list(self._jobs):
            self._remove(job)
            self._counters.lost += 1
            if not job.done.done():
                job.done.set_exception(ServerLostError())
        self.cache.clear()
        self._frozen_at = None
        self._after_change()

    @property
    def running(self) -> int:
        return len(self._running)

    def freeze(self) -> None:
        """Stop the work where it is."""
        if self._frozen_at is None:
            self._meter_slots()
            self._frozen_at = self._clock.time()
            self._arm()

    def retract(self) -> None:
        """Put what runs back to the head of the queue, with the tokens that it has; for a frozen engine."""
        self._close_phase()
        for sequence in self._running:
            sequence.made = self._made(sequence)
            sequence.began = None
            self.cache.release(sequence.job.ask.prompt, sequence.tokens)
        self._waiting.extendleft(reversed(self._running))
        self._meter_slots()
        for held in (self._running, self._delayed, self._ready, self._prefilling, self._decoding, self._ends):
            held.clear()
        self._count()

    def thaw(self) -> None:
        """Go on."""
        if self._frozen_at is not None:
            self._frozen_s += self._clock.time() - self._frozen_at
            self._frozen_at = None
            self._after_change()

    def mark_version(self, ended: str) -> None:
        """The weights changed: what was made so far was made by the version that ended."""
        for job in self._jobs:
            job.marks.append((ended, max(self._made(sequence) for sequence in job.sequences)))

    @property
    def waiting_tokens(self) -> tuple[int, int]:
        """Tokens that wait in the queue: those not in the cache, and all."""
        every = [sequence.job.ask.prompt for sequence in self._waiting]
        total = sum(prompt.tokens for prompt in every)
        return total - sum(self.cache.known(prompt) for prompt in every), total

    def read_meter(self) -> Meter:
        """Where the time went up to now, the phase under way included."""
        self._meter_slots()
        meter = replace(self.meter)
        self._book(meter)
        return meter

    # --- the machine ------------------------------------------------------------------------------

    def _now(self) -> float:
        """The engine's own time, which stands still while it is frozen."""
        return (self._clock.time() if self._frozen_at is None else self._frozen_at) - self._frozen_s

    def _move(self) -> None:
        """Do all that is due now, and set the timer for what is due next."""
        self._admit()
        while True:
            due = self._now() + EARLY_S
            while self._delayed and self._delayed[0][0] <= due:
                self._ready.append(heapq.heappop(self._delayed)[2])
            if self._phase is None:
                if not self._start_phase():
                    break
            elif self._phase_ends > due:
                if not (self._ready and self._shorten()):
                    break
            else:
                self._end_phase()
                self._admit()
        self._arm()

    def _admit(self) -> None:
        """Queue to slots, in order, while there is room."""
        while self._waiting and len(self._running) < self._slots:
            sequence = self._waiting[0]
            prompt = sequence.job.ask.prompt
            if self._running and not self.cache.fits(prompt, sequence.tokens):
                break
            self._waiting.popleft()
            self._meter_slots()
            self._running[sequence] = None
            self.cache.hold(prompt, sequence.tokens)
            if self._latency.per_request_s > 0 and not sequence.made:
                self._order += 1
                ready = self._now() + self._latency.per_request_s
                heapq.heappush(self._delayed, (ready, self._order, sequence))
            else:
                self._ready.append(sequence)
        self._count()

    def _start_phase(self) -> bool:
        """Prompts first, then decoding; False where there is neither."""
        self._phase_began = now = self._now()
        if self._ready:
            self._prefilling, self._ready = self._ready, []
            counts = [self._match(sequence) for sequence in self._prefilling]
            computed, cached = (sum(column) for column in zip(*counts, strict=True))
            self._phase, self._phase_ends = "prefill", now + self._latency.prefill_s(computed, cached)
            return True
        self._skip_gone()
        if not self._ends:
            return False
        self._batch = len(self._decoding)
        self._step_s = self._latency.step_s(self._batch)
        self._until_step = self._ends[0][0]
        self._phase, self._phase_ends = "decode", now + (self._until_step - self._step) * self._step_s
        return True

    def _skip_gone(self) -> None:
        while self._ends and self._ends[0][2] not in self._decoding:
            heapq.heappop(self._ends)

    def _match(self, sequence: SampleRun) -> tuple[int, int]:
        """Tokens to compute for a sequence, and those that are cached."""
        job, prompt = sequence.job, sequence.job.ask.prompt
        total = prompt.tokens + sequence.made
        cached = self.cache.known(prompt) if sequence is job.sequences[0] else prompt.tokens
        if job.cached is None:
            self._counters.cached_tokens += cached
            # SGLang computes the prompt of several samples once, before any of them, and then tells of
            # each that it came out of the cache.
            whole = min(prompt.tokens - prompt.rest_tokens, prompt.tokens - 1)
            job.cached = cached if len(job.sequences) == 1 else whole
        return total - cached, cached

    def _end_phase(self) -> None:
        """Book the phase that is over, and let go of the sequences that ended with it."""
        self._close_phase()
        joined, self._prefilling = self._prefilling, []
        for sequence in joined:
            self.cache.keep(sequence.job.ask.prompt)
            sequence.began = self._step
            self._decoding[sequence] = None
            self._order += 1
            end = self._step + sequence.tokens - sequence.made
            heapq.heappush(self._ends, (end, self._order, sequence))
        self._skip_gone()
        while self._ends and self._ends[0][0] <= self._step:
            self._finish(heapq.heappop(self._ends)[2])
            self._skip_gone()

    def _close_phase(self) -> None:
        """End the phase where it is: prompts half computed are forgotten, a step half made as well."""
        self._book(self.meter)
        self._step += self._steps_made()
        self._phase = None

    def _book(self, meter: Meter) -> None:
        if self._phase == "prefill":
            meter.prefill_s += min(self._now(), self._phase_ends) - self._phase_began
        elif self._phase == "decode":
            steps = self._steps_made()
            meter.decode_steps += steps
            meter.decode_tokens += steps * self._batch
            meter.decode_s += steps * self._step_s

    def _steps_made(self) -> int:
        """Whole decode steps since the phase began."""
        if self._phase != "decode":
            return 0
        planned = self._until_step - self._step
        past = self._now() + EARLY_S - self._phase_began
        return planned if past >= planned * self._step_s else int(past / self._step_s)

    def _shorten(self) -> bool:
        """Let a decode phase end with the step under way; whether that changes anything."""
        if self._phase != "decode" or self._step_s <= 0:
            return False
        steps = max(0, math.ceil((self._now() - EARLY_S - self._phase_began) / self._step_s))
        if self._step + steps >= self._until_step:
            return False
        self._until_step = self._step + steps
        self._phase_ends = self._phase_began + steps * self._step_s
        return True

    def _finish(self, sequence: SampleRun) -> None:
        self._release(sequence)
        job = sequence.job
        job.left -= 1
        if not job.left:
            del self._jobs[job]
            self._counters.completed += 1
            self._resolve(job, job.samples, max(sample.tokens for sample in job.samples))

    def _resolve(self, job: Job, samples: Sequence[Sample], longest: int) -> None:
        spans: list[Span] = []
        for version, end in (*job.marks, (self._version(), longest)):
            start = spans[-1].end if spans else 0
            if spans and spans[-1].version == version:
                spans[-1] = Span(version, spans[-1].start, end)
            elif end > start:
                spans.append(Span(version, start, end))
        result = Generated(
            samples=tuple(samples),
            prompt_tokens=job.ask.prompt.tokens,
            cached_tokens=min(job.cached or 0, job.ask.prompt.tokens),
            spans=tuple(spans) or (Span(self._version(), 0, 0),),
        )
        counters = self._counters
        counters.samples += len(samples)
        counters.prompt_tokens += result.prompt_tokens
        counters.completion_tokens += result.completion_tokens
        if not job.done.done():  # its client may have gone away
            job.done.set_result(result)
        if not self._jobs:
            self.idle.set()

    def _remove(self, job: Job) -> None:
        """Take a request out, wherever its sequences are."""
        del self._jobs[job]
        for sequence in job.sequences:
            if sequence in self._running:
                self._release(sequence)
        if any(sequence.began is None for sequence in job.sequences):
            gone = set(job.sequences)
            self._waiting = deque(item for item in self._waiting if item not in gone)
            self._ready = [item for item in self._ready if item not in gone]
            self._prefilling = [item for item in self._prefilling if item not in gone]
            self._delayed = [item for item in self._delayed if item[2] not in gone]
            heapq.heapify(self._delayed)
        if not self._jobs:
            self.idle.set()

    def _release(self, sequence: SampleRun) -> None:
        self._meter_slots()
        del self._running[sequence]
        self._decoding.pop(sequence, None)
        self.cache.release(sequence.job.ask.prompt, sequence.tokens)

    def _after_change(self) -> None:
        """Some left in the middle of a phase: the batch is planned anew after the step under way."""
        self._count()
        if self._frozen_at is None:
            if not self._running:
                self._close_phase()
            self._shorten()
            self._move()

    def _made(self, sequence: SampleRun) -> int:
        if sequence.began is None:
            return sequence.made
        step = self._step + self._steps_made()
        return min(sequence.tokens, sequence.made + step - sequence.began)

    # --- bookkeeping ------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [self._phase_ends] if self._phase is not None else []
        if self._delayed:
            due.append(self._delayed[0][0])
        if due and self._frozen_at is None:
            self._timer = self._clock.call_at(min(due) + self._frozen_s, self._move)

    def _meter_slots(self) -> None:
        now = self._now()
        self.meter.slot_s += len(self._running) * (now - self._metered_at)
        self._metered_at = now

    def _count(self) -> None:
        counters = self._counters
        counters.running = len(self._running)
        counters.waiting = len(self._waiting)
        counters.max_running = max(counters.max_running, counters.running)
