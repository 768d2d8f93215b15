"""Samplers as Ray actors, one process each, spread over the nodes.

Needs the extra `ray`; importing this module does not load it.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from rro_sdk.cluster.blocks import Block, Done
from rro_sdk.cluster.crew import SamplerLost
from rro_sdk.cluster.driver import Driver
from rro_sdk.cluster.joining import joined
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.cluster.worker import Hello, Progress, Work, Worker
from rro_sdk.errors import ConfigError, RROError


class _Failed:
    """An error of ours, sent as a result: Ray would wrap it."""

    def __init__(self, error: RROError) -> None:
        self.error = error


class _Actor:
    """A `Worker` in a process of its own."""

    def __init__(self, work: Work, shared: SharedFolder, driver: str) -> None:
        import ray

        self._worker = Worker(work, shared, driver, ray.util.get_node_ip_address())

    async def hello(self) -> Hello | _Failed:
        try:
            return await self._worker.hello()
        except RROError as error:
            return _Failed(error)

    async def run(self, block: Block) -> Done | _Failed | None:
        try:
            return await self._worker.run(block)
        except RROError as error:
            return _Failed(error)

    async def take_away(self, epoch: str) -> None:
        await self._worker.take_away(epoch)

    async def progress(self) -> Progress:
        return self._worker.progress()

    async def stop(self) -> None:
        await self._worker.stop()


class RayCrew:
    """Samplers on a Ray cluster, for the length of one `async with` block.

    Args:
        work: what they sample.
        shared: the run's shared folder.
        size: how many; None takes one for each CPU of the cluster.
        address: of the cluster (`host:port`, `auto` or `ray://...`); None starts one in this process.
        cpus: that each takes.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, or it is too small.
    """

    def __init__(
        self,
        work: Work,
        shared: SharedFolder,
        *,
        size: int | None = None,
        address: str | None = None,
        cpus: float = 1.0,
    ) -> None:
        self._work, self._shared, self._driver = work, shared, ""
        self._address, self._cpus = address, cpus
        self._wanted = size
        self._actors: list[Any] = []
        self._stack = ExitStack()
        self.size = 0

    async def __aenter__(self) -> Self:
        self._stack.enter_context(joined(self._address))
        import ray

        found = ray.cluster_resources().get("CPU", 0.0)
        self.size = self._wanted if self._wanted is not None else max(1, int(found / self._cpus))
        if self.size * self._cpus > found:
            self._leave()
            raise ConfigError(
                f"{self.size} samplers of {self._cpus:g} CPUs do not fit on the cluster's {found:g} CPUs;"
                " ask for fewer, or add nodes"
            )
        return self

    def start(self, generation: int) -> None:
        """Make the samplers, for the driver of that generation."""
        self._driver = Driver.name(generation)
        self._actors = [self._make() for _ in range(self.size)]

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    async def hello(self, member: int) -> Hello:
        found: Hello = await self._call(member, "hello")
        return found

    async def run(self, member: int, block: Block) -> Done | None:
        found: Done | None = await self._call(member, "run", block)
        return found

    async def take_away(self, member: int, block: Block) -> None:
        await self._call(member, "take_away", block.epoch)

    async def progress(self, member: int) -> Progress:
        found: Progress = await self._call(member, "progress")
        return found

    async def stop(self, member: int) -> None:
        await self._call(member, "stop")

    async def replace(self, member: int) -> None:
        import ray

        ray.kill(self._actors[member])
        self._actors[member] = self._make()

    async def _call(self, member: int, method: str, *arguments: Any) -> Any:
        import ray

        try:
            found = await getattr(self._actors[member], method).remote(*arguments)
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            raise SamplerLost from error
        if isinstance(found, _Failed):
            raise found.error
        return found

    def _make(self) -> Any:
        import ray

        actor = ray.remote(_Actor).options(
            num_cpus=self._cpus, max_restarts=0, max_concurrency=1000, scheduling_strategy="SPREAD"
        )
        return actor.remote(self._work, self._shared, self._driver)

    def _leave(self) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        self._stack.close()
