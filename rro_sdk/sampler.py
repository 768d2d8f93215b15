"""Runs many tasks at once: the front door of the SDK.

Roles: a `Sampler` owns the fleet, the journal and the running totals for one `async with` block. Each call
of `events` explores as many tasks at once as keep the servers busy; their events meet in one bounded queue,
and are recorded before they are handed to the caller.
"""

from __future__ import annotations

import asyncio
import math
import platform
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict

from rro_sdk._concurrency import event_within
from rro_sdk.envs.base import Environment
from rro_sdk.errors import (
    ConfigError,
    DataError,
    Divergence,
    EnvironmentFault,
    JournalError,
    RROError,
    ServerError,
)
from rro_sdk.explore import TaskExplorer
from rro_sdk.fingerprint import model_fingerprints, settings_of
from rro_sdk.inference.fleet import Fleet, FleetEvent, FleetSettings
from rro_sdk.inference.server import ModelInfo
from rro_sdk.journal import RunHeader, refuse_existing
from rro_sdk.live.publish import Doing, Publisher
from rro_sdk.live.status import Ended, ended_by
from rro_sdk.methods.base import Method
from rro_sdk.methods.rising import RisingReward
from rro_sdk.methods.tree import TreeMethod, is_tree_method
from rro_sdk.metrics.base import Metrics
from rro_sdk.metrics.sampling import SamplingMetrics
from rro_sdk.pairs import pair_of
from rro_sdk.policy import Policy, ReActPolicy, Sampling
from rro_sdk.report.summary import RunStats, RunSummary
from rro_sdk.rollout import Actor
from rro_sdk.run import Kept, Run
from rro_sdk.search import TaskSearch
from rro_sdk.spending import RiseRate, Spending
from rro_sdk.types import Event, FaultOf, PreferencePair, StepRecord, Task, TaskEnd, TaskFailed, Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ADMIT_S = 0.25
"""How soon a raised limit of the servers lets more tasks in; limits move once a second."""

TASKS_PER_PLACE = 3.0
"""Tasks in flight times m, over the requests that the servers take at once. A task waits for the slowest of
its m rollouts at every candidate, so about half of them are under way; and a server for which no call waits
takes one whose prefix it does not have. On 64 simulated servers 2 gives 95 % of the pairs per second and
server that one server gives, 3 gives all of them (benchmarks.simulate)."""

QUEUED = 256
"""Events that may wait for a slow caller before exploration waits too."""


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What is done about failures that outlive their retries.

    A request that fails for its server's fault is asked again within the bounds of `FleetSettings.retry`;
    beyond them its task is set aside, and a resumed run takes it up again.

    Attributes:
        max_failed_tasks: end the run when more tasks than this had to be set aside; None never does,
            unless every task was.
        score_faults: a rollout that the environment breaks is worth `Environment.fault_outcome`, and its
            error is kept; False sets the task aside instead.
    """

    max_failed_tasks: int | None = None
    score_faults: bool = True

    def __post_init__(self) -> None:
        if self.max_failed_tasks is not None and self.max_failed_tasks < 0:
            raise ConfigError(f"max_failed_tasks must be at least 0, not {self.max_failed_tasks}")


class Sampler:
    """Explores tasks under a method and yields preference pairs.

    Args:
        env: the environment; the caller closes it.
        servers: URLs of SGLang servers, all serving one model.
        policy: a policy of your own in place of `servers`.
        method: what is explored at a step and when it stops; the rising rule by default.
        run_dir: folder for the journal and `pairs.jsonl`; absent or empty. None keeps nothing.
        resume: go on with the run in `run_dir`, if one began there: nothing that it recorded is drawn
            again. Servers, their number and the concurrency may be others; method, seed, sampling, model
            and tasks may not.
        seed: seed of every draw (rule 10).
        sampling: how actions are drawn; for `servers` only.
        fleet: how servers are used; for `servers` only.
        tasks_in_flight: tasks explored at once; by default as many as keep the servers busy.
        failures: what is done about failures that outlive their retries.
        spending: how rollouts are saved; by default every one of them is drawn.
        command: how to make this sampler again, kept in the run's header for `rro resume`.
        metrics: sinks that are told the run's numbers every few seconds and when it is left; the caller
            closes them.
        tracer: of OpenTelemetry; the run as spans, without prompts and replies.

    Attributes:
        stats: running totals; a resumed run's include what it had recorded.

    Raises:
        ConfigError: settings that cannot be right.
    """

    def __init__(
        self,
        env: Environment,
        *,
        servers: Sequence[str] = (),
        policy: Policy | None = None,
        method: Method | TreeMethod | None = None,
        run_dir: str | Path | None = None,
        seed: int = 0,
        sampling: Sampling | None = None,
        fleet: FleetSettings | None = None,
        tasks_in_flight: int | None = None,
        failures: FailurePolicy | None = None,
        spending: Spending | None = None,
        resume: bool = False,
        command: dict[str, Any] | None = None,
        metrics: Sequence[Metrics] = (),
        tracer: Tracer | None = None,
    ) -> None:
        if bool(servers) == (policy is not None):
            raise ConfigError("give a sampler either servers or a policy of your own")
        if resume and run_dir is None:
            raise ConfigError("a sampler can resume only a run that has a run_dir")
        if tasks_in_flight is not None and tasks_in_flight < 1:
            raise ConfigError(f"tasks_in_flight must be at least 1, not {tasks_in_flight}")
        self.env = env
        self.method: Method | TreeMethod = method or RisingReward()
        self.run_dir = Path(run_dir) if run_dir is not None else None
        self.seed = seed
        self.sampling = sampling or Sampling()
        # Methods that judge have a rule, of which the null is another one.
        self.stats = RunStats(**_counts_of(self.method), rule=getattr(self.method, "rule", None))
        self.fleet = Fleet(servers, fleet) if servers else None
        self.failures = failures or FailurePolicy()
        self.spending = spending or Spending()
        if is_tree_method(self.method) and self.spending != Spending():
            raise ConfigError(
                f"method {self.method.name} searches a tree, which draws nothing that it does not use;"
                " leave early decision, reuse and speculation out"
            )
        self._metrics = SamplingMetrics(self.stats, metrics, more=self._load)
        self._tracing = None
        if tracer is not None:
            from rro_sdk.tracing.spans import Tracing  # an extra

            self._tracing = Tracing(tracer, by_step=not is_tree_method(self.method))
        self._policy = policy
        self._tasks_in_flight = tasks_in_flight
        self._command = command
        self._resume = resume
        self._infos: dict[str, ModelInfo] = {}
        self._run: Run | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None
        self._seen: set[str] = set()
        self._given: int | None = 0
        self._running = 0
        self._publisher: Publisher | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Check the run folder and the servers, and open the run that is to be resumed.

        Raises:
            RunExistsError: the run folder is not empty.
            ServerError: a server does not answer.
            ConfigError: the servers differ, or the run to be resumed was made with other settings.
        """
        goes_on = False
        if self.run_dir is not None:
            if self._resume:
                goes_on = Run.can_resume(self.run_dir)
            else:
                refuse_existing(self.run_dir)
        try:
            if self.fleet is not None:
                await self._stack.enter_async_context(self.fleet)
                self._infos = await self.fleet.check()
                self.fleet.observe = self._observe
                self._policy = ReActPolicy(self.fleet, self.sampling)
            if goes_on and self.run_dir is not None:
                self._run = Run.resume(self.run_dir, self._header())
                await self._run.enter()
                for event in self._run.past_events():
                    self.stats.add(event)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises `JournalError` where the run could not be recorded or exported to its end."""
        try:
            if self._stop is not None:  # the caller may have left `events` without closing it
                await self._stop()
            await self._stack.aclose()  # requests that were given up say what they cost
            self._metrics.tell()
        finally:
            ended: Ended = "failed"
            try:
                if self._run is not None:
                    await self._run.leave(error)
                ended = ended_by(error)
            finally:
                if self._publisher is not None:
                    await self._publisher.stop(ended)

    @property
    def kept(self) -> Kept | None:
        """What a resumed run had already; None for a new one."""
        return self._run.kept if self._run is not None else None

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
        given = iter(tasks)
        first = next(given, None)
        if first is None:
            raise ConfigError("there are no tasks to explore; give at least one")
        if self._given is not None:
            self._given = self._given + len(tasks) if isinstance(tasks, Sized) else None
        if self.run_dir is not None and self._run is None:
            self._run = Run.begin(self.run_dir, self._header())
            await self._run.enter()
        if self.run_dir is not None and self._publisher is None:
            self._publisher = Publisher(self.run_dir, self._doing)
            self._publisher.start()
        run_of, recorder = self._run, self._run.recorder if self._run is not None else None
        make_actor = Actor if self._tracing is None else self._tracing.actor
        actor = make_actor(self.env, self._policy, recorder, score_faults=self.failures.score_faults)
        pending = self._wanted(chain([first], given))
        rises = RiseRate()

        queue: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=QUEUED)
        failures: list[RROError] = []

        async def explore(task: Task) -> None:
            memory = run_of.memory(task) if run_of is not None else None
            explorer: TaskExplorer | TaskSearch
            if is_tree_method(self.method):
                explorer = TaskSearch(actor, self.method, task, self.seed, memory)
            else:
                explorer = TaskExplorer(
                    actor,
                    self.method,
                    task,
                    self.seed,
                    memory,
                    spending=self.spending,
                    room=self.fleet.room if self.fleet is not None else None,
                    rises=rises,
                )
            whole = False
            try:
                found = explorer.events()
                if self._tracing is not None:
                    found = self._tracing.task(task, found)
                async with aclosing(found) as events:
                    async for event in events:
                        whole = whole or isinstance(event, TaskEnd)
                        await queue.put(event)
            except (JournalError, Divergence, ConfigError):
                raise  # no fault of the task: going on would lose or poison more, or go wrong again
            except RROError as error:
                if whole:  # its episode did not close, and nothing of it is lost
                    return
                failures.append(error)
                await queue.put(TaskFailed(task.id, f"{type(error).__name__}: {error}", _fault_of(error)))
            finally:
                if run_of is not None:
                    run_of.forget(task)

        async def run() -> None:
            changed = asyncio.Event()

            def ended(_: asyncio.Task[None]) -> None:  # of one that was cancelled before it began, too
                self._running -= 1
                changed.set()

            try:
                async with asyncio.TaskGroup() as group:
                    task = next(pending, None)
                    while task is not None:
                        while task is not None and self._running < self._most_tasks():
                            self._running += 1
                            group.create_task(explore(task)).add_done_callback(ended)
                            task = next(pending, None)
                        if task is not None:
                            changed.clear()
                            await event_within(changed, ADMIT_S)
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None
            finally:
                await queue.put(None)

        runner = asyncio.create_task(run())

        async def stop() -> None:
            runner.cancel()
            while not runner.done():  # a worker may wait for room in the queue while it ends
                while not queue.empty():
                    queue.get_nowait()
                await asyncio.wait([runner], timeout=0.05)

        self._stop = stop
        aside = self.kept.set_aside if self.kept is not None else 0
        most = self.failures.max_failed_tasks
        try:
            ended = False
            while not ended:
                batch = [await queue.get()]
                while not queue.empty():
                    batch.append(queue.get_nowait())
                ended = None in batch
                events = [event for event in batch if event is not None]
                if self._run is not None and events:
                    for event in events:
                        self._run.put(event)
                    await self._run.committed()
                for event in events:
                    self.stats.add(event)
                    self._metrics.update()
                    yield event
                    aside += isinstance(event, TaskFailed)
                    if most is not None and aside > most and failures:
                        raise failures[-1]
            await runner
        finally:
            await stop()
        if failures and self.stats.tasks_finished == 0:
            raise failures[-1]

    def summary(self) -> RunSummary:
        """The numbers of everything that this sampler has explored so far."""
        return self.stats.summary()

    def _doing(self) -> Doing:
        kept, servers = self.kept, self.fleet.status if self.fleet is not None else ()
        totals = self.stats.tokens  # all that a policy of your own tells, what a resumed run had included
        return Doing(
            running=self._running,
            given=self._given,
            closed_before=kept.finished + kept.set_aside if kept is not None else 0,
            tokens_before=kept.tokens if kept is not None and servers else Usage(),
            usage=sum((each.usage for each in servers), Usage()) if servers else totals,
            weight_version=self.fleet.weight_version if self.fleet is not None else "",
            servers=servers,
        )

    def report_to(self, sinks: Sequence[Metrics]) -> None:
        """Tell these sinks, too, how the run goes on; the caller closes them."""
        self._metrics.add(sinks)

    def _load(self) -> dict[str, float]:
        if self.fleet is None:
            return {}
        return {"requests_in_flight": self.fleet.in_flight, "servers_out": len(self.fleet.out)}

    def _observe(self, event: FleetEvent) -> None:
        self.stats.add(event)
        if self._run is not None:
            with suppress(JournalError):  # whoever records next hears of it
                self._run.put(event)

    def _wanted(self, tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            if task.id in self._seen:
                raise DataError(f"task {task.id} is given twice; ids must be unique within a run")
            self._seen.add(task.id)
            if self._run is None or self._run.wants(task):
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
                **settings_of(self.method),
                "name": self.method.name,
                **_counts_of(self.method),
            },
            environment=self.env.name,
            sampling=settings_of(self.sampling),
            spending=settings_of(self.spending),
            servers={
                url: {"model_path": info.model_path, "weight_version": info.weight_version}
                for url, info in self._infos.items()
            },
            versions={
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in ("rro-sdk", "aiohttp", "msgspec")},
            },
            model=self._model(),
            data={
                "digest": self.env.data_digest,
                "max_steps": self.env.max_steps,
                "fault_outcome": self.env.fault_outcome,
                "score_faults": self.failures.score_faults,
            },
            command=self._command,
        )

    def _model(self) -> dict[str, str]:
        info = next(iter(self._infos.values()), None)
        if info is None:
            return {}
        return {
            "path": info.model_path,
            "weight_version": info.weight_version,
            **model_fingerprints(info.model_path),
        }


def _fault_of(error: RROError) -> FaultOf:
    if isinstance(error, ServerError):
        return "server"
    return "environment" if isinstance(error, EnvironmentFault) else "data"


class _Counts(TypedDict):
    rollouts: int
    max_candidates: int
    min_candidates: int
    reestimate_duplicates: bool


def _counts_of(method: Method | TreeMethod) -> _Counts:
    """What a run's statistics need of its method; a search has no steps of its own to count."""
    if is_tree_method(method):
        return _Counts(
            rollouts=method.rollouts, max_candidates=1, min_candidates=1, reestimate_duplicates=False
        )
    return _Counts(
        rollouts=method.rollouts,
        max_candidates=method.max_candidates,
        min_candidates=method.min_candidates,
        reestimate_duplicates=method.reestimate_duplicates,
    )
