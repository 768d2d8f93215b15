"""The fake server beside a test that has no event loop, or one of its own."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from servers.fake import Counters, FakeServer, FakeSettings

START_S = 30.0


class ServerInThread:
    """A fake SGLang server (`servers.fake`) in a thread, for the length of a `with` block.

    Args:
        settings: what it says, how slowly, and what goes wrong; by default words drawn by the seed.

    Attributes:
        url: its address on loopback, within the block.
    """

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self.url = ""
        self._settings = settings
        self._server: FakeServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def counters(self) -> Counters:
        """What it was asked, so far."""
        if self._server is None:
            raise RuntimeError("the fake server is used outside its `with` block")
        return self._server.counters

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            ConfigError: the port is taken.
        """
        from servers.fake import FakeServer

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake server", daemon=True)
        self._thread.start()
        self._server = FakeServer(self._settings)
        try:
            asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(START_S)
        except BaseException:
            self._end()
            raise
        self.url = self._server.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None and self._loop is not None
        try:
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(START_S)
        finally:
            self._end()

    def _end(self) -> None:
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()
