"""Servers for the length of an `async with`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Lifetime(ABC):
    """Started on entering and stopped on leaving, in threads: both block."""

    @abstractmethod
    def start(self) -> None:
        """Start, or leave nothing behind."""

    @abstractmethod
    def cancel(self) -> None:
        """Have a `start` that waits give up soon."""

    @abstractmethod
    def stop(self) -> None:
        """Stop; safe to call twice."""

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            self.cancel()
            # A thread cannot be cancelled; this one ends by itself, having stopped what it started.
            await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.stop))
