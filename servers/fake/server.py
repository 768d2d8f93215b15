"""The fake server's life: one listening socket in the caller's event loop."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web

from rro_sdk.errors import ConfigError
from servers.fake.routes import build_app
from servers.fake.settings import FakeSettings
from servers.fake.state import Counters, FakeState
from servers.ports import url_of


class FakeServer:
    """A running fake server. Use as an async context manager, or call `start` and `stop`."""

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self.settings = settings or FakeSettings()
        self.url = ""
        self._state = FakeState(self.settings)
        self._runner: web.AppRunner | None = None

    @property
    def counters(self) -> Counters:
        """What happened so far."""
        return self._state.counters

    @property
    def paused(self) -> bool:
        """Whether it was paused and not told to go on since."""
        return self._state.paused.is_set()

    @property
    def weight_version(self) -> str:
        return self._state.weight_version

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the port is taken.
        """
        # Cancelled handlers are how a client that went away is noticed.
        runner = web.AppRunner(
            build_app(self._state), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, self.settings.host, self.settings.port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            where = f"{self.settings.host}:{self.settings.port}"
            raise ConfigError(f"the fake server cannot listen on {where} ({error.strerror})") from error
        self._runner = runner
        self.url = url_of(self.settings.host, int(runner.addresses[0][1]))

    async def stop(self) -> None:
        """Stop listening and drop every connection. Safe to call twice."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
