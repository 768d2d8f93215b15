"""Samplers that never come back or never answer cost a run their blocks' time, not its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rro_sdk.cluster.blocks import Block, Done
from rro_sdk.cluster.crew import SamplerLost
from rro_sdk.cluster.worker import Hello, Progress, Worker
from rro_sdk.errors import ConfigError
from tests.cluster.crew import LocalCrew, single
from tests.cluster.test_driver import COUNT, World
from tests.cluster.test_shared import Failing

LIMIT_S = 60.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def expected(tmp_path: Path) -> bytes:
    return await single(tmp_path / "single", COUNT)


class Shrunken(LocalCrew):
    """The second sampler is lost in its first block, and the cluster has no place for another."""

    _gone_for_good = False

    async def run(self, member: int, block: Block) -> Done | None:
        if member == 1:
            self._gone_for_good = True
            raise SamplerLost
        return await super().run(member, block)

    async def hello(self, member: int) -> Hello:
        if member == 1 and self._gone_for_good:
            await asyncio.Event().wait()
        return await super().hello(member)


async def test_a_node_that_never_comes_back_keeps_no_run_from_its_end(world: World, expected: bytes) -> None:
    async with asyncio.timeout(LIMIT_S):
        totals, _ = await world.drive(Shrunken)
    assert totals.lost == 1 and world.export == expected


class Frozen(LocalCrew):
    """The first sampler stops to answer anything when it has its first block."""

    async def run(self, member: int, block: Block) -> Done | None:
        if member == 0:
            self._frozen = True
        return await self._unless_frozen(member) or await super().run(member, block)

    async def take_away(self, member: int, block: Block) -> None:
        await self._unless_frozen(member)
        await super().take_away(member, block)

    async def progress(self, member: int) -> Progress:
        await self._unless_frozen(member)
        return await super().progress(member)

    async def stop(self, member: int) -> None:
        await self._unless_frozen(member)
        await super().stop(member)

    _frozen = False

    async def _unless_frozen(self, member: int) -> None:
        if member == 0 and self._frozen:
            await asyncio.Event().wait()


async def test_a_sampler_that_never_answers_keeps_no_run_from_its_end(
    world: World, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.cluster.blocks.SLOW_S", 0.2)
    monkeypatch.setattr("rro_sdk.cluster.driver.TAKE_S", 0.1)
    monkeypatch.setattr("rro_sdk.cluster.driver.ANSWER_S", 0.1)
    monkeypatch.setattr("rro_sdk.cluster.roster.STOP_S", 0.1)
    async with asyncio.timeout(LIMIT_S):
        totals, _ = await world.drive(Frozen)
    assert totals.moved >= 1 and world.export == expected


class Returning(LocalCrew):
    """The second sampler is lost once; the one in its place sees no shared folder when it is first asked.

    The first one's blocks do not end before the second is asked again.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._blind = 1
        self._asked_again = asyncio.Event()

    async def run(self, member: int, block: Block) -> Done | None:
        if member == 1 and not self.lost:
            self.lose(member)
        if member == 0:
            await self._asked_again.wait()
        return await super().run(member, block)

    async def hello(self, member: int) -> Hello:
        found = await super().hello(member)
        if self.lost and member == 1:
            if self._blind:
                self._blind -= 1
                return msgspec.structs.replace(found, token=None)
            self._asked_again.set()
        return found


class OtherData(Returning):
    """The one in its place has other data than the run began with."""

    async def hello(self, member: int) -> Hello:
        found = await LocalCrew.hello(self, member)
        if self.lost and member == 1:
            header = msgspec.structs.replace(found.header, data={"digest": "another"})
            return msgspec.structs.replace(found, header=header)
        return found


async def test_a_node_that_comes_back_before_its_mounts_is_waited_for(
    world: World, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.cluster.roster.AGAIN_S", 0.0)
    async with asyncio.timeout(LIMIT_S):
        totals, crew = await world.drive(Returning)
    assert (totals.lost, crew.lost) == (1, 1) and world.export == expected


async def test_a_node_that_joins_and_cannot_do_the_work_is_named(world: World) -> None:
    with pytest.raises(ConfigError, match="nodes node0 and node1 differ: data"):
        async with asyncio.timeout(LIMIT_S):
            await world.drive(OtherData)


class Forbidden(LocalCrew):
    """One node may not read the shared folder."""

    def _make(self, member: int) -> Worker:
        made = super()._make(member)
        if member == 1:
            Failing(made._shared)
        return made


async def test_a_node_that_may_not_read_the_shared_folder_is_named_at_once_and_why(world: World) -> None:
    with pytest.raises(
        ConfigError, match=r"node node1 does not see the shared folder .* \(Input/output error\)"
    ):
        async with asyncio.timeout(LIMIT_S):
            await world.drive(Forbidden)
    assert not world.run.exists()


class Crowded(LocalCrew):
    """The cluster has no place for the second sampler."""

    async def hello(self, member: int) -> Hello:
        if member == 1:
            await asyncio.Event().wait()
        return await super().hello(member)


async def test_a_cluster_that_others_fill_is_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.cluster.roster.NO_SAMPLER_S", 0.5)
    with pytest.raises(ConfigError, match=r"1 of 2 samplers did not come up within 0\.5 s"):
        await world.drive(Crowded)
    assert not world.run.exists()
