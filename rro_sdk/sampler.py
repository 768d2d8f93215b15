"""Runs many tasks at once: the front door of the SDK.

Roles: a `Sampler` owns the fleet, the journal and the running totals for one `async with` block. Each call
of `events` explores as many tasks at once as keep the servers busy; their events meet in one bounded queue,
and are recorded before they are handed to the caller.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rro_sdk._concurrency import event_within
from rro_sdk.envs.base import Environment
from rro_sdk.errors import ConfigError, DataError, RROError
from rro_sdk.explore import TaskExplorer
from rro_sdk.export.trl import write_pairs
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.server import ModelInfo
from rro_sdk.journal import Journal, RunHeader, refuse_existing
from rro_sdk.methods.base import Method
from rro_sdk.methods.rising import RisingReward
from rro_sdk.pairs import pair_of, pairs_of
from rro_sdk.policy import Policy, ReActPolicy, Sampling
from rro_sdk.report.summary import RunStats, RunSummary
from rro_sdk.rollout import Actor
from rro_sdk.types import Event, PreferencePair, StepRecord, Task, TaskFailed

PAIRS_NAME = "pairs.jsonl"

ADMIT_S = 0.25
"""How soon a raised limit of the servers lets more tasks in; limits move once a second."""

TASKS_PER_PLACE = 3.0
"""Tasks in flight times m, over the requests that the servers take at once. A task waits for the slowest of
its m rollouts at every candidate, so about half of them are under way; and a server for which no call waits
takes one whose prefix it does not have. On 64 simulated servers 2 gives 95 % of the pairs per second and
server that one server gives, 3 gives all of them (benchmarks.simulate)."""

QUEUED = 256
"""Events that may wait for a slow caller before exploration waits too."""


class Sampler:
    """Explores tasks under a method and yields preference pairs.

    Args:
        env: the environment; the caller closes it.
        servers: URLs of SGLang servers, all serving one model.
        policy: a policy of your own in place of `servers`.
        method: what is explored at a step and when it stops; the rising rule by default.
        run_dir: folder for the journal and `pairs.jsonl`; absent or empty. None keeps nothing.
        seed: seed of every draw (rule 10).
        sampling: how actions are drawn; for `servers` only.
        fleet: how servers are used; for `servers` only.
        tasks_in_flight: tasks explored at once; by default as many as keep the servers busy.
        max_failed_tasks: raise when more than this many tasks had to be set aside; None never does,
            unless every task was.

    Raises:
        ConfigError: settings that cannot be right.
    """

    def __init__(
        self,
        env: Environment,
        *,
        servers: Sequence[str] = (),
        policy: Policy | None = None,
        method: Method | None = None,
        run_dir: str | Path | None = None,
        seed: int = 0,
        sampling: Sampling | None = None,
        fleet: FleetSettings | None = None,
        tasks_in_flight: int | None = None,
        max_failed_tasks: int | None = None,
    ) -> None:
        if bool(servers) == (policy is not None):
            raise ConfigError("give a sampler either servers or a policy of your own")
        if tasks_in_flight is not None and tasks_in_flight < 1:
            raise ConfigError(f"tasks_in_flight must be at least 1, not {tasks_in_flight}")
        self.env = env
        self.method: Method = method or RisingReward()
        self.run_dir = Path(run_dir) if run_dir is not None else None
        self.seed = seed
        self.sampling = sampling or Sampling()
        self.stats = RunStats(
            rollouts=self.method.rollouts,
            max_candidates=self.method.max_candidates,
            min_candidates=self.method.min_candidates,
            reestimate_duplicates=self.method.reestimate_duplicates,
        )
        self.fleet = Fleet(servers, fleet) if servers else None
        self._policy = policy
        self._max_failed = max_failed_tasks
        self._tasks_in_flight = tasks_in_flight
        self._infos: dict[str, ModelInfo] = {}
        self._journal: Journal | None = None
        self._seen: set[str] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Check the run folder and the servers.

        Raises:
            RunExistsError: the run folder is not empty.
            ServerError: a server does not answer.
            ConfigError: the servers differ.
        """
        if self.run_dir is not None:
            refuse_existing(self.run_dir)
        if self.fleet is not None:
            await self._stack.enter_async_context(self.fleet)
            try:
                self._infos = await self.fleet.check()
            except BaseException:
                await self._stack.aclose()
                raise
            self._policy = ReActPolicy(self.fleet, self.sampling)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._journal is not None and self.run_dir is not None:
                write_pairs(pairs_of(self._journal.events()), self.run_dir / PAIRS_NAME)
        finally:
            if self._journal is not None:
                self._journal.close()
            await self._stack.aclose()

    async def pairs(self, tasks: Iterable[Task]) -> AsyncGenerator[PreferencePair, None]:
        """Explore the tasks and yield each preference pair as soon as its step is decided.

        Raises:
            ConfigError: no tasks.
            DataError: a task id that this sampler has had already.
            RROError: the last failure, when too many tasks had to be set aside.
        """
        async with aclosing(self.events(tasks)) as events:
            async for event in events:
                if isinstance(event, StepRecord) and (pair := pair_of(event)) is not None:
                    yield pair

    async def events(self, tasks: Iterable[Task]) -> AsyncGenerator[Event, None]:
        """Explore the tasks and yield everything that happens, recorded already; raises as `pairs`."""
        if self._policy is None:
            raise RuntimeError("Sampler is used outside its `async with` block")
        actor = Actor(self.env, self._policy)
        pending = self._checked(tasks)
        first = next(pending, None)
        if first is None:
            raise ConfigError("there are no tasks to explore; give at least one")
        if self.run_dir is not None and self._journal is None:
            self._journal = Journal.create(self.run_dir, self._header())

        queue: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=QUEUED)
        failures: list[RROError] = []

        async def explore(task: Task) -> None:
            explorer = TaskExplorer(actor, self.method, task, self.seed)
            try:
                async with aclosing(explorer.events()) as events:
                    async for event in events:
                        await queue.put(event)
            except RROError as error:
                failures.append(error)
                await queue.put(TaskFailed(task.id, f"{type(error).__name__}: {error}"))

        async def run() -> None:
            running = 0
            task: Task | None = first
            changed = asyncio.Event()

            async def explored(task: Task) -> None:
                nonlocal running
                try:
                    await explore(task)
                finally:
                    running -= 1
                    changed.set()

            try:
                async with asyncio.TaskGroup() as group:
                    while task is not None:
                        while task is not None and running < self._most_tasks():
                            running += 1
                            group.create_task(explored(task))
                            task = next(pending, None)
                        changed.clear()
                        await event_within(changed, ADMIT_S)
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
            finally:
                await queue.put(None)

        runner = asyncio.create_task(run())
        try:
            while (event := await queue.get()) is not None:
                if self._journal is not None:
                    self._journal.append(event)
                self.stats.add(event)
                yield event
                if self._max_failed is not None and self.stats.tasks_failed > self._max_failed:
                    raise failures[-1]
            await runner
        finally:
            runner.cancel()
            while not runner.done():  # a worker may wait for room in the queue while it ends
                while not queue.empty():
                    queue.get_nowait()
                await asyncio.wait([runner], timeout=0.05)
        if failures and self.stats.tasks_finished == 0:
            raise failures[-1]

    def summary(self) -> RunSummary:
        """The numbers of everything that this sampler has explored so far."""
        return self.stats.summary(retries=self.fleet.retries if self.fleet else 0)

    def _checked(self, tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            if task.id in self._seen:
                raise DataError(f"task {task.id} is given twice; ids must be unique within a run")
            self._seen.add(task.id)
            yield task

    def _most_tasks(self) -> int:
        if self._tasks_in_flight is not None:
            return self._tasks_in_flight
        if self.fleet is None:
            return 16
        places = sum(self.fleet.limits.values())
        return max(1, math.ceil(TASKS_PER_PLACE * places / self.method.rollouts))

    def _header(self) -> RunHeader:
        return RunHeader(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seed=self.seed,
            method={
                **_settings(self.method),
                "name": self.method.name,
                "rollouts": self.method.rollouts,
                "max_candidates": self.method.max_candidates,
                "min_candidates": self.method.min_candidates,
                "reestimate_duplicates": self.method.reestimate_duplicates,
            },
            environment=self.env.name,
            sampling=_settings(self.sampling),
            servers={
                url: {"model_path": info.model_path, "weight_version": info.weight_version}
                for url, info in self._infos.items()
            },
            versions={"rro-sdk": metadata.version("rro-sdk")},
        )


def _settings(value: object) -> dict[str, Any]:
    """A settings object as plain data: its class and its fields, settings within settings included."""
    found: dict[str, Any] = {"type": type(value).__qualname__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            content = getattr(value, field.name)
            found[field.name] = _settings(content) if dataclasses.is_dataclass(content) else content
    return found
