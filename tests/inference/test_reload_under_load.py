"""Reloads while requests are in flight, from a fleet that is the gate and from elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rro_sdk.inference import reloading, watchdog
from rro_sdk.inference.engines import ReloadMode
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.retry import RetrySettings
from rro_sdk.inference.weights import ReloadReport, ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest, Completion
from rro_sdk.types import Message
from servers.fake import FakeServer, FakeSettings, Fault, Latency
from tests.checkpoints import write_checkpoint

STEADY = Latency(per_request_s=0.01, per_token_s=0.004)


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "RESUME", RetrySettings(attempts=2, first_wait_s=0.0))
    monkeypatch.setattr(watchdog, "PATIENCE_S", 1.0)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "served")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "new", fill=1)


def fake(served: Path, **changes: object) -> FakeServer:
    fields = {"model_path": str(served), "weight_version": "v0", "latency": STEADY, "update_s": 0.05}
    return FakeServer(FakeSettings(**{**fields, **changes}))  # type: ignore[arg-type]


class Load:
    """Samplers that ask again as soon as they are answered, and keep what they got."""

    def __init__(self, fleet: Fleet) -> None:
        self.done: list[Completion] = []
        self._fleet = fleet

    def after(self, version: str) -> int:
        return sum(completion.weight_versions == (version,) for completion in self.done)

    async def until(self, count: int, version: str) -> None:
        wanted = self.after(version) + count
        async with asyncio.timeout(20):
            while self.after(version) < wanted:
                await asyncio.sleep(0.005)

    @asynccontextmanager
    async def running(self, samplers: int = 16) -> AsyncGenerator[None, None]:
        tasks = [asyncio.create_task(self._sample(number)) for number in range(samplers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def _sample(self, number: int) -> None:
        turn = 0
        while True:
            message = Message("user", f"{number} {turn}")
            request = ChatRequest(
                messages=(message,), model="m", temperature=1.0, seed=turn, n=1 + number % 2
            )
            self.done.append(await self._fleet.complete(request))
            turn += 1


class Watched(Fleet):
    """A fleet that remembers what it was told, and how much was in flight when its hold began."""

    def __init__(self, servers: Sequence[str]) -> None:
        super().__init__(servers, FleetSettings(concurrency=8))
        self.told: list[tuple[str, dict[str, str]]] = []
        self.held_with: list[int] = []

    @asynccontextmanager
    async def held(self, urls: Sequence[str]) -> AsyncGenerator[None, None]:
        async with super().held(urls):
            self.held_with.append(self.in_flight)
            yield
            self.held_with.append(self.in_flight)

    def settle(self, weight_version: str, failed: Mapping[str, str], urls: Collection[str]) -> None:
        assert set(urls) == set(self.urls)
        self.told.append((weight_version, dict(failed)))


async def under_load(
    servers: Sequence[FakeServer], new: Path, mode: ReloadMode, gate: bool
) -> tuple[Load, Watched, ReloadReport, int]:
    """With how many requests the servers aborted until all was over but the samplers."""
    urls = [server.url for server in servers]
    async with Watched(urls) as fleet:
        await fleet.check()
        load = Load(fleet)
        async with load.running():
            await load.until(20, "v0")
            report = await reload_weights(urls, new, ReloadSettings(mode=mode), gate=fleet if gate else None)
            await load.until(40, report.weight_version)
            aborted = sum(server.counters.aborted for server in servers)
        return load, fleet, report, aborted


def versions_in_a_sample(load: Load) -> set[int]:
    return {len(completion.weight_versions) for completion in load.done}


@pytest.mark.parametrize("gate", [True, False])
async def test_drain_loses_nothing_and_mixes_nothing(gate: bool, served: Path, new: Path) -> None:
    async with fake(served) as one, fake(served) as two:
        load, fleet, report, aborted = await under_load([one, two], new, "drain", gate)
        report.raise_for_failures()
        assert (aborted, fleet.retries) == (0, 0)
        assert versions_in_a_sample(load) == {1}
        assert fleet.held_with == ([0, 0] if gate else [])
        if gate:  # what came back first from the new weights came back after all of the old
            order = [completion.weight_versions[0] for completion in load.done]
            assert order == sorted(order, key=["v0", report.weight_version].index)


async def test_retract_loses_nothing(served: Path, new: Path) -> None:
    async with fake(served, latency=Latency(per_token_s=0.02)) as one:
        load, fleet, report, aborted = await under_load([one], new, "retract", True)
        report.raise_for_failures()
        assert (aborted, fleet.retries) == (0, 0)
        assert 2 in versions_in_a_sample(load)  # it went on with the new weights, and says so
        assert fleet.told[-1] == (report.weight_version, {})


async def test_abort_is_tried_again_at_once_and_what_it_cost_is_booked(served: Path, new: Path) -> None:
    async with fake(served, latency=Latency(per_token_s=0.02)) as one:
        load, fleet, report, aborted = await under_load([one], new, "abort", True)
        report.raise_for_failures()
        assert aborted == fleet.retries > 0
        assert versions_in_a_sample(load) == {1}
        assert Counter(completion.weight_versions for completion in load.done)[(report.weight_version,)] >= 40


async def test_a_server_that_dies_on_the_way_is_left_out_and_the_others_go_on(
    served: Path, new: Path
) -> None:
    async with (
        fake(served) as well,
        fake(served, update_s=0.3) as dying,
        Watched([well.url, dying.url]) as fleet,
    ):
        reloading_them = asyncio.create_task(reload_weights([well.url, dying.url], new, gate=fleet))
        async with asyncio.timeout(20):
            while not dying.paused:
                await asyncio.sleep(0.005)
        dying.befall(Fault("dead", seconds=1.0))
        report = await reloading_them
    assert report.reloaded == (well.url,)
    assert tuple(report.failed) == (dying.url,)
    assert report.rolled_back == ()
    assert fleet.told[-1] == (report.weight_version, report.failed)
    assert not well.paused


async def test_a_server_that_says_that_it_goes_on_and_does_not_is_no_reloaded_one(
    served: Path, new: Path
) -> None:
    async with fake(served) as server, Watched([server.url]) as fleet:
        server.befall(Fault("resume_ignored"))
        report = await reload_weights([server.url], new, gate=fleet)
        assert "/ready" in report.failed[server.url]
        assert fleet.told[-1][1] == report.failed


async def test_a_drained_server_that_cannot_flush_its_cache_is_reloaded_in_a_pause(
    served: Path, new: Path
) -> None:
    async with fake(served) as one, fake(served) as two:
        one.befall(Fault("flush_refused"))
        _, fleet, report, aborted = await under_load([one, two], new, "drain", True)
        report.raise_for_failures()
        assert (aborted, fleet.retries) == (0, 0)
        assert not one.paused
        assert one.weight_version == two.weight_version == report.weight_version


async def test_without_a_fleet_the_server_makes_new_requests_wait(served: Path, new: Path) -> None:
    """Another program's requests: those in flight finish by the old weights, later ones wait for the new."""
    async with fake(served, latency=Latency(per_request_s=0.5)) as server, Fleet([server.url]) as other:
        first = asyncio.create_task(other.complete(_plain("first")))
        async with asyncio.timeout(10):
            while not server.counters.running:
                await asyncio.sleep(0.005)
        drained = asyncio.create_task(reload_weights([server.url], new, ReloadSettings(mode="drain")))
        report = await drained
        assert (await first).weight_versions == ("v0",)
        assert (await other.complete(_plain("second"))).weight_versions == (report.weight_version,)


def _plain(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message("user", text),), model="m", temperature=1.0)
