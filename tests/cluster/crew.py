"""Samplers in this process, for tests of everything but Ray: workers that can be lost at any instant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rro_sdk.cluster.blocks import Block, Done
from rro_sdk.cluster.crew import SamplerLost
from rro_sdk.cluster.driver import Driver
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.cluster.worker import Hello, Progress, Work, Worker
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task
from tests.toys import ScriptedPolicy, ToyEnv

METHOD = RisingReward(rollouts=2, max_candidates=3)


def tasks(count: int) -> list[Task]:
    return [Task(f"t{number:05}", "solve it", {"number": number}) for number in range(count)]


def reply(seed: int) -> str:
    """Two turns in three go on; the others end with 0, 0.5 or 1."""
    return f"Action: go {seed % 5}" if seed % 3 else f"Action: end {seed // 3 % 3 / 2}"


def make_policy() -> ScriptedPolicy:
    return ScriptedPolicy(default=reply)


def work(**changes: object) -> Work:
    made = Work(make_env=ToyEnv, method=METHOD, make_policy=make_policy, tasks_in_flight=4)
    return replace(made, **changes)  # type: ignore[arg-type]


async def single(run_dir: Path, count: int) -> bytes:
    """The export of the same run in one process."""
    async with Sampler(
        ToyEnv(), policy=make_policy(), method=METHOD, run_dir=run_dir, tasks_in_flight=4
    ) as sampler:
        async for _ in sampler.events(tasks(count)):
            pass
    return (run_dir / "pairs.jsonl").read_bytes()


class LocalCrew:
    """A `Crew` of workers in this process. `lose` is a process that dies before it says what it did."""

    def __init__(self, shared: str, generation: int, size: int, made: Callable[[], Work] = work) -> None:
        self.size = size
        self.lost = 0
        self.ran: list[tuple[int, Block]] = []
        self._shared, self._generation, self._made = shared, generation, made
        self._workers = [self._make(member) for member in range(size)]
        self._gone = [asyncio.Event() for _ in range(size)]

    def _make(self, member: int) -> Worker:
        return Worker(
            self._made(), SharedFolder(self._shared), Driver.name(self._generation), f"node{member}"
        )

    def lose(self, member: int) -> None:
        self.lost += 1
        self._gone[member].set()

    async def hello(self, member: int) -> Hello:
        return await self._workers[member].hello()

    async def run(self, member: int, block: Block) -> Done | None:
        self.ran.append((member, block))
        worker, gone = self._workers[member], self._gone[member]
        job = asyncio.ensure_future(worker.run(block))
        death = asyncio.ensure_future(gone.wait())
        try:
            await asyncio.wait([job, death], return_when=asyncio.FIRST_COMPLETED)
            if gone.is_set():
                await worker.take_away(block.epoch)  # stands for the kill; the driver is told of a loss
                await asyncio.wait([job])
                raise SamplerLost
            return job.result()
        finally:
            death.cancel()

    async def take_away(self, member: int, block: Block) -> None:
        await self._workers[member].take_away(block.epoch)

    async def progress(self, member: int) -> Progress:
        if self._gone[member].is_set():
            raise SamplerLost
        return self._workers[member].progress()

    async def stop(self, member: int) -> None:
        await self._workers[member].stop()

    async def replace(self, member: int) -> None:
        await self._workers[member].stop()
        self._workers[member] = self._make(member)
        self._gone[member] = asyncio.Event()
