"""A request's way through the fake: queue, slot, tokens by the clock, abort and pause."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servers.fake.state import FakeState, Running, Span
from servers.fake.text import Sample, cut, partial, tokens_of


@dataclass(frozen=True)
class Ask:
    """What a client wants, whichever route it came by."""

    messages: Sequence[Mapping[str, Any]]
    prompt: str
    n: int
    seed: int | None
    stop: Sequence[str]
    max_tokens: int | None
    rid: str


@dataclass(frozen=True)
class Generated:
    """What it gets. `spans` cover the longest sample."""

    samples: tuple[Sample, ...]
    prompt_tokens: int
    cached_tokens: int
    spans: tuple[Span, ...]

    @property
    def completion_tokens(self) -> int:
        return sum(sample.tokens for sample in self.samples)


async def generate(state: FakeState, ask: Ask) -> Generated:
    """Serve one request; cancelled when its client goes away."""
    counters = state.counters
    running = Running(ask.rid)
    state.enter(running)
    slotted = False
    try:
        slotted = await _slot(state, running)
        counters.waiting -= 1
        if slotted:
            counters.running += 1
            counters.max_running = max(counters.max_running, counters.running)
        else:
            return _finish(state, ask, [], [], aborted=True, done=0)
        reply = state.settings.reply
        samples = [
            cut(reply(ask.messages, ask.seed, index), ask.stop, ask.max_tokens) for index in range(ask.n)
        ]
        longest = max(sample.tokens for sample in samples)
        spans, done = await _decode(state, running, longest)
        return _finish(state, ask, samples, spans, aborted=done < longest, done=done)
    finally:
        if slotted:
            counters.running -= 1
            state.slots.release()
        state.leave(running)


async def _slot(state: FakeState, running: Running) -> bool:
    """Wait for a slot, and for a paused server to go on. False where the request was aborted first."""
    slot = asyncio.ensure_future(state.slots.acquire())
    try:
        if not await _first(running.aborted, slot):
            return False
        if not await _first(running.aborted, asyncio.ensure_future(state.resumed.wait())):
            state.slots.release()
            return False
    except asyncio.CancelledError:
        state.counters.waiting -= 1
        if slot.done() and not slot.cancelled():
            state.slots.release()
        raise
    return True


async def _first(aborted: asyncio.Event, wanted: asyncio.Future[Any]) -> bool:
    """Wait for `wanted`, unless an abort comes first."""
    abort = asyncio.ensure_future(aborted.wait())
    try:
        await asyncio.wait({wanted, abort}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.done()
    finally:
        abort.cancel()
        wanted.cancel()  # does nothing to one that is done


async def _decode(state: FakeState, running: Running, tokens: int) -> tuple[list[Span], int]:
    """Let the time of `tokens` tokens pass; a pause stops the clock. The spans, and how many were made."""
    latency = state.settings.latency
    total = latency.per_request_s + latency.per_token_s * tokens
    loop = asyncio.get_running_loop()
    left = total
    spans: list[Span] = []

    def made() -> int:
        if left <= 0:
            return tokens
        past = total - left - latency.per_request_s
        return min(tokens - 1, max(0, int(past / latency.per_token_s))) if latency.per_token_s else 0

    while left > 0 and not running.aborted.is_set():
        version, first = state.weight_version, made()
        started = loop.time()
        await _until_any(left, running.aborted, state.paused)
        left -= loop.time() - started
        spans = _extended(spans, Span(version, first, made()))
        if left > 0 and state.paused.is_set() and not running.aborted.is_set():
            await _until_any(None, running.aborted, state.resumed)
    if not spans:  # no latency at all
        spans = [Span(state.weight_version, 0, tokens)]
    return spans, made()


async def _until_any(timeout_s: float | None, *events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _extended(spans: list[Span], new: Span) -> list[Span]:
    if new.end <= new.start:
        return spans
    if spans and spans[-1].version == new.version:
        return [*spans[:-1], Span(new.version, spans[-1].start, new.end)]
    return [*spans, new]


def _finish(
    state: FakeState, ask: Ask, samples: list[Sample], spans: list[Span], *, aborted: bool, done: int
) -> Generated:
    counters = state.counters
    prompt = tokens_of(ask.prompt)
    if aborted:
        counters.aborted += 1
        samples = [partial(sample, done) for sample in samples] or [Sample("", 0, "abort")] * ask.n
    else:
        counters.completed += 1
    generated = Generated(
        samples=tuple(samples),
        prompt_tokens=len(prompt),
        cached_tokens=state.cached(prompt),
        spans=tuple(spans) or (Span(state.weight_version, 0, 0),),
    )
    counters.samples += len(samples)
    counters.prompt_tokens += generated.prompt_tokens
    counters.cached_tokens += generated.cached_tokens
    counters.completion_tokens += generated.completion_tokens
    return generated
