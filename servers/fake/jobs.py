"""A request on its way through the engine, and what comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servers.fake.prompts import Prefix
from servers.fake.text import Sample


class ServerLostError(Exception):
    """The server died or restarted with the request in flight."""


@dataclass(frozen=True)
class Ask:
    """What a client wants, whichever route it came by."""

    messages: Sequence[Mapping[str, Any]]
    prompt: Prefix
    n: int
    seed: int | None
    stop: Sequence[str]
    max_tokens: int | None
    rid: str


@dataclass(frozen=True)
class Span:
    """Tokens [start, end) of a sample were made by this weight version."""

    version: str
    start: int
    end: int


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


class Job:
    """One request in flight. `deaf`: it heeds no abort."""

    __slots__ = ("ask", "cached", "deaf", "done", "left", "marks", "samples", "sequences")

    def __init__(self, ask: Ask, samples: Sequence[Sample], done: asyncio.Future[Generated]) -> None:
        self.ask = ask
        self.samples = samples
        self.sequences = [SampleRun(self, sample.tokens) for sample in samples]
        self.left = len(samples)
        self.cached: int | None = None
        self.marks: list[tuple[str, int]] = []  # versions that ended, and after which token
        self.deaf = False
        self.done = done


class SampleRun:
    """One sample being made: `made` tokens before `began`, the step at which it (again) joined the batch."""

    __slots__ = ("began", "computed", "job", "made", "tokens")

    def __init__(self, job: Job, tokens: int) -> None:
        self.job = job
        self.tokens = tokens
        self.made = 0
        self.began: int | None = None
        self.computed = 0
