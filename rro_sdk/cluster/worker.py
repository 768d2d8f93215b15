"""Runs blocks of tasks with the ordinary sampler: what a cluster's actor does, without the cluster.

Roles: a `Worker` owns the environment and the fleet for its whole life, so that what it learnt of the servers
is not lost from block to block; each block has a `BlockSampler` and a shard of its own.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import msgspec

from rro_sdk._concurrency import to_the_end
from rro_sdk._installed import installed
from rro_sdk.cluster.blocks import Block, Done
from rro_sdk.cluster.shard import ShardRun, close_shard, open_shard, run_of
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.collector import NEW_OBJECTS
from rro_sdk.envs.base import Environment
from rro_sdk.errors import ConfigError, RROError
from rro_sdk.inference.fleet import Fleet, FleetEvent, FleetSettings
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.methods.base import Method
from rro_sdk.methods.tree import TreeMethod
from rro_sdk.policy import Policy, ReActPolicy, Sampling
from rro_sdk.run import owed
from rro_sdk.sampler import FailurePolicy, Sampler
from rro_sdk.spending import Spending
from rro_sdk.types import Event, StepRecord, TaskFailed

P = ParamSpec("P")
T = TypeVar("T")

PACKAGES = ("rro-sdk", "msgspec", "aiohttp", "ray")
"""What must be the same on every node: they decide what is sampled and how it is written."""


@dataclass(frozen=True)
class Work:
    """What every sampler of a cluster's run is made with; each reaches its own servers and data.

    Attributes:
        make_env: makes the environment, on the sampler's node.
        method, seed, sampling, fleet, failures, spending, tasks_in_flight, command: as of `Sampler`.
        servers: URLs, reachable from every node.
        make_policy: a policy of your own in place of servers.
    """

    make_env: Callable[[], Environment]
    method: Method | TreeMethod
    servers: tuple[str, ...] = ()
    make_policy: Callable[[], Policy] | None = None
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    failures: FailurePolicy = field(default_factory=FailurePolicy)
    spending: Spending = field(default_factory=Spending)
    tasks_in_flight: int | None = None
    command: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if bool(self.servers) == (self.make_policy is not None):
            raise ConfigError("give a cluster's samplers either servers or a policy of your own")


class Hello(msgspec.Struct, frozen=True):
    """What a sampler says of itself before it gets work.

    Attributes:
        node: its address, for people.
        token: what it reads in the shared folder under the driver's name; None where it sees nothing, or
            may not write.
        header: what it would write of the run.
        trouble: why it sees nothing or may not write, where storage says so.
    """

    node: str
    token: str | None
    header: RunHeader
    trouble: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How a sampler stands.

    Attributes:
        recorded: replies by the epoch of their block.
        room: tasks that it can have open at once.
        rss_mb: memory of its process.
    """

    recorded: dict[str, int]
    room: int
    rss_mb: float


class BlockSampler(Sampler):
    """A sampler whose fleet outlives it, and whose run is a shard.

    Args:
        env, policy, settings: as of `Sampler`.
        fleet: the servers behind `policy`, entered already; None for a policy of your own.
        run: the shard.
    """

    def __init__(
        self, env: Environment, policy: Policy, *, fleet: Fleet | None, run: ShardRun, **settings: Any
    ) -> None:
        super().__init__(env, policy=policy, **settings)
        self.fleet = fleet
        self._run = run

    async def __aenter__(self) -> Self:
        assert self._run is not None
        await self._run.enter()
        return self

    def note(self, event: FleetEvent) -> None:
        """Record what the fleet says."""
        self._observe(event)

    @property
    def room(self) -> int:
        """Tasks that may be open at once."""
        return self._most_tasks()


class Describer(Sampler):
    """Makes the header of a run whose servers were asked already."""

    def describe(self, infos: dict[str, Any]) -> RunHeader:
        self._infos = infos
        return self._header()


@dataclass(slots=True)
class _Running:
    epoch: str
    job: asyncio.Task[Done]
    run: ShardRun | None = None
    sampler: BlockSampler | None = None
    taken: bool = False


class Worker:
    """Samples blocks, several at once.

    Args:
        work: what is sampled, and how.
        shared: the run's shared folder.
        driver: name under which the driver left its token there.
        node: where this is, for people.
        scratch: local folder for journals; the system's by default.
    """

    def __init__(
        self, work: Work, shared: SharedFolder, driver: str, node: str, scratch: str | None = None
    ) -> None:
        self._work, self._shared, self._driver, self._node = work, shared, driver, node
        self._scratch = scratch
        self._stack = AsyncExitStack()
        self._running: dict[str, _Running] = {}
        self._env: Environment | None = None
        self._fleet: Fleet | None = None
        self._policy: Policy | None = None
        self._header: RunHeader | None = None
        self._hello: Hello | None = None
        self._greeting = asyncio.Lock()

    async def hello(self) -> Hello:
        """Get ready: environment, servers and shared folder.

        Raises:
            RROError: one of them does not work from here.
        """
        async with self._greeting:  # whoever asks again gets the same answer
            if self._hello is None:
                self._hello = await self._get_ready()
            return self._hello

    async def _get_ready(self) -> Hello:
        gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
        token, trouble = await asyncio.to_thread(self._see_shared)
        self._scratch = tempfile.mkdtemp(prefix="rro-shards-", dir=self._scratch)
        self._stack.callback(shutil.rmtree, self._scratch, ignore_errors=True)
        work = self._work
        self._env = await self._stack.enter_async_context(work.make_env())
        infos = {}
        if work.servers:
            self._fleet = await self._stack.enter_async_context(Fleet(work.servers, work.fleet))
            infos = await self._fleet.check()
            self._fleet.observe = self._observe
            self._policy = ReActPolicy(self._fleet, work.sampling)
        else:
            assert work.make_policy is not None
            self._policy = work.make_policy()
        self._header = Describer(self._env, policy=self._policy, **self._settings()).describe(infos)
        return Hello(self._node, token, self._header, trouble)

    def _see_shared(self) -> tuple[str | None, str]:
        """The driver's token, where this node sees it and may write beside it; else why not, if known."""
        token, trouble = self._shared.read_now(self._driver)
        if token is not None and not trouble:
            trouble = self._shared.try_out(f"nodes/{self._node}") or ""
        if token is None or trouble:
            return None, trouble
        self._shared.anchor(self._driver)
        return token.decode(), ""

    async def run(self, block: Block) -> Done | None:
        """Sample a block to its end.

        Returns:
            None where it was taken away; what it recorded is on shared storage.

        Raises:
            RROError: what ends the run.
        """
        job = asyncio.ensure_future(self._sample(block))
        running = self._running[block.epoch] = _Running(block.epoch, job)
        try:
            return await job
        except asyncio.CancelledError:
            if running.taken:
                return None
            raise
        finally:
            del self._running[block.epoch]

    async def take_away(self, epoch: str) -> None:
        """Stop a block, recorded to its last commit. Nothing happens where it ended already."""
        if (found := self._running.get(epoch)) is not None:
            found.taken = True
            found.job.cancel()
            await asyncio.wait([found.job])

    async def stop(self) -> None:
        """Stop every block, and give back what is held."""
        self._shared.give_up()  # what storage does not take now is drawn again
        await asyncio.gather(*(self.take_away(epoch) for epoch in list(self._running)))
        await self._stack.aclose()

    def progress(self) -> Progress:
        """How it stands, at once."""
        running = list(self._running.values())
        room = max((each.sampler.room for each in running if each.sampler is not None), default=0)
        recorded = {each.epoch: each.run.shipped for each in running if each.run is not None}
        return Progress(recorded, room, _rss_mb())

    async def _sample(self, block: Block) -> Done:
        assert self._env is not None and self._policy is not None and self._header is not None
        assert self._scratch is not None
        local = Path(self._scratch) / block.epoch
        try:
            journal, goes_on = await _in_thread(
                open_shard, self._shared, block, local, self._header, self._node
            )
            run = run_of(journal, local, self._header, goes_on=goes_on)
            sampler = BlockSampler(self._env, self._policy, fleet=self._fleet, run=run, **self._settings())
            running = self._running[block.epoch]
            running.run, running.sampler = run, sampler
            pairs, why = 0, ""
            async with sampler:
                pairs += sum(map(_has_pair, run.past_events()))
                try:
                    async for event in sampler.events(block.tasks):
                        pairs += _has_pair(event)
                        why = event.reason if isinstance(event, TaskFailed) else why
                except RROError:
                    # A block may lose every task to its servers; whether the run did is the driver's to say.
                    if sampler.stats.tasks_failed < len(block.tasks):
                        raise
            return await _in_thread(self._close, block, local, pairs, why)
        finally:
            await _in_thread(shutil.rmtree, local, ignore_errors=True)

    def _close(self, block: Block, local: Path, pairs: int, why: str) -> Done:
        remain = len(owed(local, block.tasks, where="the run"))
        with Journal.open(local) as journal:
            states, replies = journal.states(), journal.replies()
        done = Done(
            block.number,
            block.epoch,
            block.digest,
            sha256="",
            size=0,
            tasks=len(block.tasks),
            finished=len(states.finished),
            failed=len(states.set_aside),
            owed=remain,
            pairs=pairs,
            replies=replies,
            why=why,
        )
        return close_shard(self._shared, done, local)

    def _settings(self) -> dict[str, Any]:
        work = self._work
        return {
            "method": work.method,
            "seed": work.seed,
            "sampling": work.sampling,
            "failures": replace(work.failures, max_failed_tasks=None),
            "spending": work.spending,
            "tasks_in_flight": work.tasks_in_flight,
            "command": work.command,
        }

    def _observe(self, event: FleetEvent) -> None:
        """What belongs to the run and to no task goes with any block that is open."""
        for running in self._running.values():
            if running.sampler is not None and not running.job.done():
                running.sampler.note(event)
                return


def _has_pair(event: Event) -> bool:
    return isinstance(event, StepRecord) and event.pair is not None


async def _in_thread(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call it in a thread, to its end: a thread cannot be cancelled, only left alone with what it does."""
    return await to_the_end(asyncio.to_thread(call, *arguments, **named))


def versions() -> dict[str, str]:
    """Of Python and of the packages that must agree."""
    return installed(PACKAGES)


def refuse_difference(node: str, has: Mapping[str, str], driver: Mapping[str, str]) -> None:
    """Raise where a node's versions are not the driver's.

    Raises:
        ConfigError: says which node, what it has and what the driver has.
    """
    for name, version in driver.items():
        if has.get(name, "none") != version:
            raise ConfigError(
                f"node {node} has {name} {has.get(name, 'none')}, the driver {version};"
                " install the same on every node"
            )


def _rss_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):  # not Linux
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


__all__ = ["BlockSampler", "Hello", "Progress", "Work", "Worker", "refuse_difference", "versions"]
