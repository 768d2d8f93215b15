"""A run on many samplers is the run of one: the same pairs, recorded once, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from rro_sdk.checking import check
from rro_sdk.cluster import sample_on_ray
from rro_sdk.cluster.blocks import Block, Done, folder
from rro_sdk.cluster.crew import SamplerLost, Totals
from rro_sdk.cluster.driver import Driver
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.cluster.worker import Hello, Work
from rro_sdk.errors import ConfigError, DataError, JournalError, ServerError, ServerUnreachable
from rro_sdk.journal import Journal
from rro_sdk.policy import Sampling
from rro_sdk.report.summary import RunSummary
from rro_sdk.report.text import summary_of
from rro_sdk.sampler import Sampler
from rro_sdk.types import Proposal, Task
from servers.fake import FakeServer, FakeSettings
from tests.chaos import child
from tests.cluster.crew import METHOD, LocalCrew, single, tasks, work
from tests.toys import ScriptedPolicy, ToyEnv

COUNT = 24
BLOCK = 5


class World:
    """A shared folder, a run folder, and what a single process exports."""

    def __init__(self, path: Path) -> None:
        self.path, self.run = path, path / "run"
        self.shared = SharedFolder(str(path / "shared"), patience_s=20.0)

    async def drive(
        self,
        crew_of: type[LocalCrew] = LocalCrew,
        *,
        count: int = COUNT,
        made: Work | None = None,
        size: int = 2,
        resume: bool = True,
        given: list[Task] | None = None,
    ) -> tuple[Totals, LocalCrew]:
        generation, token = Driver.enlist(self.shared)
        crew = crew_of(self.shared.url, generation, size, lambda: made or work())
        driver = Driver(crew, self.shared, self.run, resume=resume, block_tasks=BLOCK)
        await driver.run(tasks(count) if given is None else given, generation, token)
        return driver.totals, crew

    @property
    def export(self) -> bytes:
        return (self.run / "pairs.jsonl").read_bytes()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def expected(tmp_path: Path) -> bytes:
    found = await single(tmp_path / "single", COUNT)
    assert found, "a run without pairs shows nothing"
    return found


def replies(run: Path) -> dict[str, int]:
    with Journal.open(run) as journal:
        return {task.id: sum(1 for _ in journal.turns_of(task.id)) for task in tasks(COUNT)}


def summary(run: Path) -> RunSummary:
    """What a run reports, less its time."""
    with Journal.open(run) as journal:
        found = summary_of(journal)
    assert found.ledger is not None
    return msgspec.structs.replace(
        found, wall_s=0.0, ledger=msgspec.structs.replace(found.ledger, wall_s=0.0)
    )


class Dying(LocalCrew):
    """Loses a sampler each time that it has recorded a little, six times in all."""

    async def run(self, member: int, block: Block) -> Done | None:
        async def die() -> None:
            while not any(each > 3 for each in self._workers[member].progress().recorded.values()):
                await asyncio.sleep(0)
            self.lose(member)

        if self.lost < 6:
            dying = asyncio.ensure_future(die())
            try:
                return await super().run(member, block)
            finally:
                dying.cancel()
        return await super().run(member, block)


async def test_with_samplers_lost_the_run_is_the_one_of_a_single_process(
    world: World, expected: bytes, tmp_path: Path
) -> None:
    totals, crew = await world.drive(Dying)
    assert crew.lost >= 6 and totals.lost >= 1
    assert world.export == expected
    assert (check(world.run).problems, check(world.run).owed) == ((), {})
    assert replies(world.run) == replies(tmp_path / "single")
    assert summary(world.run) == summary(tmp_path / "single")
    assert totals.finished == COUNT and totals.blocks == -(-COUNT // BLOCK)


async def test_with_servers_samplers_keep_their_fleet_from_block_to_block(world: World) -> None:
    async with FakeServer(FakeSettings(reply=child.reply, max_running_requests=16)) as server:
        made = work(servers=(server.url,), make_policy=None, tasks_in_flight=None)
        async with Sampler(
            ToyEnv(), servers=[server.url], method=METHOD, run_dir=world.path / "single"
        ) as sampler:
            async for _ in sampler.events(tasks(COUNT)):
                pass
        await world.drive(made=made)
    assert world.export == (world.path / "single" / "pairs.jsonl").read_bytes()
    with Journal.open(world.run) as one, Journal.open(world.path / "single") as other:
        assert (one.header().model, one.header().servers) == (other.header().model, other.header().servers)
    found, plain = summary(world.run), summary(world.path / "single")
    assert found.steps == plain.steps and found.ledger is not None and plain.ledger is not None
    assert found.ledger.entries["kept"].requests == plain.ledger.entries["kept"].requests


class Interrupted(LocalCrew):
    """Ctrl-C in the middle of the third block."""

    driver: asyncio.Task[object]

    async def run(self, member: int, block: Block) -> Done | None:
        if len(self.ran) == 3:
            self.driver.cancel()
        return await super().run(member, block)


async def test_interrupted_it_goes_on_here_or_in_another_folder(world: World, expected: bytes) -> None:
    Interrupted.driver = asyncio.ensure_future(world.drive(Interrupted))
    with pytest.raises(asyncio.CancelledError):
        await Interrupted.driver
    assert check(world.run).problems == ()
    lost = world.path / "lost"
    shutil.copytree(world.run, lost)
    await world.drive()
    assert world.export == expected
    _, again = await world.drive()  # nothing is owed: nothing is sampled
    assert again.ran == [] and world.export == expected

    shutil.rmtree(world.run)  # the driver's disk is gone; shared storage is not
    _, elsewhere = await world.drive(resume=False)
    assert elsewhere.ran == [] and world.export == expected
    assert (check(world.run).problems, check(world.run).owed) == ((), {})


class Slow(LocalCrew):
    """The first sampler hangs on its first block for as long as it has it."""

    async def run(self, member: int, block: Block) -> Done | None:
        if member == 0 and not self.ran:
            self.ran.append((member, block))
            self._held = asyncio.Event()
            await self._held.wait()
            return None
        return await super().run(member, block)

    async def take_away(self, member: int, block: Block) -> None:
        self._held.set()


async def test_a_block_is_taken_from_a_sampler_that_hangs(
    world: World, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.cluster.blocks.SLOW_S", 0.2)
    totals, _ = await world.drive(Slow)
    assert totals.moved >= 1 and world.export == expected


class Absent(ScriptedPolicy):
    """A server that is away."""

    async def act(self, messages: object, *, seed: int, affinity: str) -> Proposal:
        raise ServerUnreachable("server http://a is gone")


async def test_tasks_that_servers_failed_are_taken_up_again(world: World, expected: bytes) -> None:
    with pytest.raises(ServerError, match=r"every task was set aside, the last one for: .*http://a is gone"):
        await world.drive(made=work(make_policy=Absent))
    with Journal.open(world.run) as journal:
        assert len(journal.states().set_aside) == COUNT
    await world.drive()
    assert world.export == expected
    assert (check(world.run).problems, check(world.run).owed) == ((), {})


async def test_other_tasks_or_settings_than_the_run_began_with_are_refused(world: World) -> None:
    await world.drive()
    with pytest.raises(DataError, match="block 0 of the run began with other tasks"):
        await world.drive(given=[Task("t00000", "another"), *tasks(COUNT)[1:]])
    with pytest.raises(ConfigError, match="seed was 0 and is 7"):
        await world.drive(made=work(seed=7))
    shutil.rmtree(world.run)
    with pytest.raises(ConfigError, match="seed was 0 and is 7"):
        await world.drive(made=work(seed=7), resume=False)
    assert not world.run.exists()


async def test_settings_of_another_run_stop_no_driver_that_is_at_work(world: World) -> None:
    await world.drive()
    drivers = world.shared.names("drivers")
    for made, said in (
        (work(seed=7), "seed was 0 and is 7"),
        (work(method=replace(METHOD, rollouts=3)), "method.rollouts was 2 and is 3"),
        (work(sampling=Sampling(temperature=0.5)), "sampling.temperature was 1.0 and is 0.5"),
    ):
        with pytest.raises(ConfigError, match=said):
            await sample_on_ray(
                made, [], world.path / "other", shared=world.shared.url, address="127.0.0.1:1"
            )
    assert world.shared.names("drivers") == drivers and not (world.path / "other").exists()
    with pytest.raises(ConfigError, match="no Ray cluster answers"):
        await sample_on_ray(work(), [], world.path / "other", shared=world.shared.url, address="127.0.0.1:1")


async def test_a_task_given_twice_is_named(world: World) -> None:
    with pytest.raises(DataError, match="task t00001 is given twice"):
        await world.drive(given=[*tasks(COUNT), tasks(2)[1]])


class Blind(LocalCrew):
    """One node has a folder of its own at the shared path."""

    async def hello(self, member: int) -> Hello:
        found = await super().hello(member)
        return found if member == 0 else msgspec.structs.replace(found, token=None)


async def test_a_node_that_does_not_see_the_shared_folder_is_named(world: World) -> None:
    with pytest.raises(ConfigError, match="node node1 does not see the shared folder"):
        await world.drive(Blind)
    assert not world.run.exists()


async def test_a_shared_folder_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("a file")
    with pytest.raises(
        ConfigError, match=r"shared cannot be written from here: (Not a directory|File exists)"
    ):
        Driver.enlist(SharedFolder(str(tmp_path / "shared")))


class StillBorn(LocalCrew):
    """Samplers that die before they say anything."""

    async def hello(self, member: int) -> Hello:
        raise SamplerLost


async def test_samplers_that_die_when_they_start_end_the_run(world: World) -> None:
    with pytest.raises(ConfigError, match="a sampler died 3 times while it started"):
        await world.drive(StillBorn)


async def test_a_driver_that_was_taken_over_stops(world: World) -> None:
    generation, token = Driver.enlist(world.shared)
    Driver.enlist(world.shared)
    crew = LocalCrew(world.shared.url, generation, 1)
    driver = Driver(crew, world.shared, world.run, block_tasks=1)
    endless = (Task(f"t{number}", "solve it") for number in range(10**9))
    with pytest.raises(ConfigError, match="another driver has taken over"):
        await driver.run(endless, generation, token)


async def test_what_is_in_memory_does_not_grow_with_the_tasks(world: World) -> None:
    taken, most = 0, 0

    def endless() -> Iterator[Task]:
        nonlocal taken
        for task in tasks(15 * BLOCK):
            taken += 1
            yield task

    generation, token = Driver.enlist(world.shared)

    def note(totals: Totals) -> None:
        nonlocal most
        most = max(most, taken - totals.tasks)

    crew = LocalCrew(world.shared.url, generation, 2)
    driver = Driver(crew, world.shared, world.run, block_tasks=BLOCK, note=note)
    await driver.run(endless(), generation, token)
    # Two samplers with two blocks each, four that wait for the merge, one that is merged, one in hand.
    assert taken == 15 * BLOCK and most <= 10 * BLOCK


async def test_a_shard_that_was_changed_is_refused_by_its_digest(world: World) -> None:
    await world.drive()
    place = folder(2)
    (name,) = [each for each in world.shared.names(place) if each.endswith(".sqlite")]
    image = world.path / "shared" / place / name
    image.write_bytes(image.read_bytes()[:-100] + b"\x00" * 100)
    shutil.rmtree(world.run)
    with pytest.raises(JournalError, match=f"{name} is missing or damaged"):
        await world.drive(resume=False)
