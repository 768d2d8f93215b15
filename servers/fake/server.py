"""The fake server's life: one listening socket in the caller's event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from rro_sdk.errors import ConfigError
from servers.fake.counters import Counters
from servers.fake.routes import build_app
from servers.fake.service import FakeService
from servers.fake.settings import FakeSettings, Fault
from servers.fake.state import FakeState
from servers.ports import url_of


class FakeServer:
    """A running fake server. Use as an async context manager, or call `start` and `stop`."""

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self.settings = settings or FakeSettings()
        self.url = ""
        self._state = FakeState(self.settings, on_power=self._on_power)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._port = self.settings.port
        self._switching: asyncio.Task[None] | None = None

    @property
    def counters(self) -> Counters:
        """What happened so far."""
        return self._state.counters

    @property
    def paused(self) -> bool:
        """Whether it was paused and not told to go on since."""
        return self._state.pause_mode is not None

    @property
    def accepting(self) -> bool:
        """Whether new generation requests get in: not while an update of the weights waits or works."""
        return self._state.accepting.is_set()

    @property
    def weight_version(self) -> str:
        return self._state.weight_version

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the port is taken.
        """
        self._state.start(asyncio.get_running_loop())
        # Cancelled handlers are how a client that went away is noticed.
        runner = web.AppRunner(
            build_app(FakeService(self._state)),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.1,
        )
        await runner.setup()
        try:
            self._site = await self._listen(runner)
        except OSError as error:
            await runner.cleanup()
            where = f"{self.settings.host}:{self.settings.port}"
            raise ConfigError(f"the fake server cannot listen on {where} ({error.strerror})") from error
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        self.url = url_of(self.settings.host, self._port)

    def befall(self, fault: Fault) -> None:
        """Let a fault of the whole server happen now; see `SERVER_FAULTS`."""
        self._state.befall(fault)

    async def stop(self) -> None:
        """Stop listening and drop every connection. Safe to call twice."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self._state.stop()
            if self._switching is not None:
                await self._switching
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> web.TCPSite:
        site = web.TCPSite(runner, self.settings.host, self._port, backlog=1024)
        await site.start()
        return site

    def _on_power(self, up: bool) -> None:
        """Nothing listens while it is dead; open connections are reset when they are used."""
        before = self._switching

        async def switch() -> None:
            if before is not None:
                await before
            if self._runner is None:
                return
            if up:
                self._site = await self._listen(self._runner)
            elif self._site is not None:
                await self._site.stop()

        self._switching = asyncio.ensure_future(switch())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
