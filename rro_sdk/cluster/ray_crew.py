"""Samplers as Ray actors, one process each, spread over the nodes.

Needs the extra `ray`; importing this module does not load it.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from rro_sdk.cluster.blocks import Block, Done
from rro_sdk.cluster.crew import SamplerLost
from rro_sdk.cluster.driver import Driver
from rro_sdk.cluster.joining import joined
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.cluster.worker import Hello, Progress, Work, Worker, refuse_difference, versions
from rro_sdk.errors import ConfigError, RROError

_ADDRESS = re.compile(r"\bip[=:] ?([0-9a-fA-F.:]+)")
_WHY_CHARACTERS = 200


class _Failed:
    """An error of ours, sent as a result: Ray would wrap it."""

    def __init__(self, error: RROError) -> None:
        self.error = error


class _Actor:
    """A `Worker` in a process of its own.

    Args:
        made: the other arguments of `Worker`, pickled: a node that has other versions than the driver could
            fail to read them, and says which it has before it tries.
        driver: the driver's versions.
    """

    def __init__(self, made: bytes, driver: dict[str, str]) -> None:
        import ray

        self._made, self._driver = made, driver
        self._node = ray.util.get_node_ip_address()
        self._known: Worker | None = None

    async def hello(self) -> Hello | _Failed:
        try:
            refuse_difference(self._node, versions(), self._driver)
            if self._known is None:
                self._known = self._read()
            return await self._known.hello()
        except RROError as error:
            if self._node not in str(error):
                error.args = (f"on node {self._node}: {error}",)
            return _Failed(error)

    def _read(self) -> Worker:
        import ray

        try:
            work, shared, driver = ray.cloudpickle.loads(self._made)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"what is to be sampled cannot be loaded ({type(error).__name__}: {error});"
                " install the same packages, and your own modules, on every node"
            ) from error
        return Worker(work, shared, driver, self._node)

    @property
    def _worker(self) -> Worker:
        assert self._known is not None  # the driver says hello first
        return self._known

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
        address: of the cluster (`host:port` or `auto`); None starts one in this process.
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
        self._work, self._shared, self._made = work, shared, b""
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
        import ray

        self._made = ray.cloudpickle.dumps((self._work, self._shared, Driver.name(generation)))
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
        except ray.exceptions.RayTaskError:
            raise  # an error of what is sampled, and none of ours: as it is
        except ray.exceptions.RayError as error:  # its process, its node or its memory
            raise SamplerLost(_why(str(error))) from error
        if isinstance(found, _Failed):
            raise found.error
        return found

    def _make(self) -> Any:
        import ray

        actor = ray.remote(_Actor).options(
            num_cpus=self._cpus, max_restarts=0, max_concurrency=1000, scheduling_strategy="SPREAD"
        )
        return actor.remote(self._made, versions())

    def _leave(self) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        self._stack.close()


def _why(said: str) -> str:
    """Where a sampler was and its last words, of what Ray says over many lines."""
    node = _ADDRESS.search(said)
    last = said.strip().rpartition("\n")[2].strip()[:_WHY_CHARACTERS]
    return f"on node {node[1]}: {last}" if node else last
