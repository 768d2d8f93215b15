"""How an iteration's tasks are explored: by a sampler of this process, or by many on a Ray cluster.

Either way there is one run folder, the same draws and, with servers that honour seeds, the same pairs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rro_sdk.cluster import Totals, Work, sample_on_ray
from rro_sdk.envs.base import Environment
from rro_sdk.envs.registry import suite
from rro_sdk.errors import ConfigError, ServerError
from rro_sdk.inference.fleet import FleetSettings
from rro_sdk.journal import Journal
from rro_sdk.sampler import FailurePolicy, Sampler
from rro_sdk.types import Task
from trainers.iterate.config import Config
from trainers.iterate.plan import seed_of

Watch = Callable[[Sampler], AbstractContextManager[None]]
"""Shows a sampler for the length of a block."""

SAY_EVERY_S = 10.0


class Explorer(Protocol):
    """Explores batch after batch into one run, for the length of an `async with` block."""

    async def explore(self, batch: Sequence[Task]) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_environment(name: str, options: dict[str, Any]) -> Environment:
    """The environment of [environment], wherever it is played.

    Raises:
        ConfigError: it does not take these options.
    """
    try:
        return suite(name).make(**options)
    except TypeError as error:
        raise ConfigError(f"[environment.options]: {name} does not take these: {error}") from None


class ExplorerHere:
    """A sampler of this process.

    Args:
        config: the loop's.
        iteration: whose draws these are.
        env: entered.
        urls: of the servers.
        fleet: how they are asked.
        run_dir: absent, or this iteration's run.
        watch: shows the sampler.
    """

    def __init__(
        self,
        config: Config,
        iteration: int,
        env: Environment,
        urls: Sequence[str],
        fleet: FleetSettings,
        run_dir: Path,
        watch: Watch,
    ) -> None:
        self._watch = watch
        self._sampler = Sampler(
            env,
            servers=urls,
            method=config.make_method(),
            run_dir=run_dir,
            resume=True,
            seed=seed_of(config.seed, iteration),
            sampling=config.sample.sampling,
            fleet=fleet,
            spending=config.sample.spending,
            failures=FailurePolicy(max_failed_tasks=config.sample.max_failed_tasks),
        )

    async def explore(self, batch: Sequence[Task]) -> None:
        with self._watch(self._sampler):
            async for _ in self._sampler.events(batch):
                pass

    async def __aenter__(self) -> Self:
        await self._sampler.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sampler.__aexit__(kind, error, trace)


class ExplorerOnRay:
    """Samplers on the cluster that this process has joined.

    A batch after the first is the same run with more tasks; blocks never go across batches
    (`Config.block_tasks`), so those of the batches before are merged already and stay as they are.

    Args:
        config, iteration, urls, fleet, run_dir: as of `ExplorerHere`; `urls` are reached from every node.
        shared: what all nodes see, of this iteration alone.
        samplers: how many.
        say: told how it goes.
    """

    def __init__(
        self,
        config: Config,
        iteration: int,
        urls: Sequence[str],
        fleet: FleetSettings,
        run_dir: Path,
        *,
        shared: str,
        samplers: int,
        say: Callable[[str], None],
    ) -> None:
        table = config.environment
        self._work = Work(
            make_env=partial(make_environment, table.name, table.options),
            method=config.make_method(),
            servers=tuple(urls),
            seed=seed_of(config.seed, iteration),
            sampling=config.sample.sampling,
            fleet=fleet,
            spending=config.sample.spending,
        )
        self._config, self._run_dir = config, run_dir
        self._shared, self._samplers, self._say = shared, samplers, say
        self._tasks: list[Task] = []
        self._said = time.monotonic()

    async def explore(self, batch: Sequence[Task]) -> None:
        self._tasks += batch
        await sample_on_ray(
            self._work,
            self._tasks,
            self._run_dir,
            shared=self._shared,
            samplers=self._samplers,
            block_tasks=self._config.block_tasks,
            resume=True,
            note=self._note,
        )
        await asyncio.to_thread(self._refuse_failures)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def _note(self, totals: Totals) -> None:
        if time.monotonic() - self._said >= SAY_EVERY_S:
            self._said = time.monotonic()
            self._say(
                f"tasks {totals.finished}/{len(self._tasks)}, failed {totals.failed}, pairs {totals.pairs},"
                f" samplers lost {totals.lost}"
            )

    def _refuse_failures(self) -> None:
        most = self._config.sample.max_failed_tasks
        if most is None:
            return
        with Journal.open(self._run_dir) as journal:
            aside = list(journal.states().set_aside.values())
        if len(aside) > most:
            raise ServerError(
                f"{len(aside)} tasks were set aside and max_failed_tasks is {most}; the last one for:"
                f" {aside[-1].reason}"
            )
