"""What a fake server knows between requests: versions, who is running, the pause, the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from servers.fake.settings import FakeSettings
from servers.fake.text import CACHE_BLOCK, block_keys

CACHE_BLOCKS = 200_000
"""Keys kept before the pretended cache starts anew: some 20 MB."""


@dataclass
class Counters:
    """What happened so far. Read it at any time; it belongs to the server."""

    requests: int = 0
    """Generation requests that arrived, faults included."""
    completed: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    running: int = 0
    waiting: int = 0
    max_running: int = 0
    aborted: int = 0
    """Requests that ended through /abort_request, a pause with abort or an update."""
    disconnected: int = 0
    """Requests whose client went away before the reply."""
    faults: int = 0
    rejected: int = 0
    """Requests answered 400 or 401."""


@dataclass(frozen=True)
class Span:
    """Tokens [start, end) of a sample were made by this weight version."""

    version: str
    start: int
    end: int


@dataclass
class Running:
    """One request in flight."""

    rid: str
    aborted: asyncio.Event = field(default_factory=asyncio.Event)


class FakeState:
    """Belongs to one event loop."""

    def __init__(self, settings: FakeSettings) -> None:
        self.settings = settings
        self.counters = Counters()
        self.model_path = settings.model_path
        self.served_name = settings.served_name
        self.weight_version = settings.weight_version
        self.previous_version = settings.weight_version
        self.slots = asyncio.Semaphore(settings.max_running_requests)
        self.running: dict[int, Running] = {}
        self.resumed = asyncio.Event()
        self.resumed.set()
        self.paused = asyncio.Event()
        self.pause_mode: str | None = None
        self.idle = asyncio.Event()
        self.idle.set()
        self._cache: set[bytes] = set()

    def set_version(self, version: str) -> None:
        if version != self.weight_version:
            self.previous_version = self.weight_version
        self.weight_version = version

    def pause(self, mode: str) -> None:
        self.pause_mode = mode
        self.resumed.clear()
        self.paused.set()
        if mode == "abort":
            self.abort(None)

    def resume(self) -> None:
        self.pause_mode = None
        self.paused.clear()
        self.resumed.set()

    def abort(self, rid: str | None) -> None:
        """End the request of this id, or every one."""
        for running in self.running.values():
            if rid is None or running.rid == rid:
                running.aborted.set()

    def enter(self, running: Running) -> None:
        self.running[id(running)] = running
        self.counters.waiting += 1
        self.idle.clear()

    def leave(self, running: Running) -> None:
        del self.running[id(running)]
        if not self.running:
            self.idle.set()

    def cached(self, tokens: Sequence[str]) -> int:
        """How much of a prompt was seen before; it is from now on. At least one token is always computed."""
        keys = block_keys(tokens)
        known = 0
        while known < len(keys) and keys[known] in self._cache:
            known += 1
        if len(self._cache) > CACHE_BLOCKS:
            self._cache.clear()
        self._cache.update(keys)
        return min(known * CACHE_BLOCK, len(tokens) - 1)

    def flush(self) -> None:
        self._cache.clear()
