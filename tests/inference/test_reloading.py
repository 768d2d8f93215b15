"""The steps of a reload on workers that fail wherever they can, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.errors import ServerError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference import reloading
from rro_sdk.inference.engines import Call, ReloadMode, Served
from rro_sdk.inference.reloading import Reloading, Worker, outcome
from rro_sdk.inference.retry import RetrySettings
from rro_sdk.inference.transport import ServerLost
from rro_sdk.inference.watchdog import Watchdog

Step = Literal["pause", "update", "served", "abort_all", "resume", "probe"]
Trouble = Literal["refuses", "times out", "is gone", "breaks off", "is given up between"]

STEPS: tuple[Step, ...] = ("pause", "update", "served", "abort_all", "resume", "probe")
ERRORS: dict[Trouble, ServerError] = {
    "refuses": ServerRefused("it refuses", status=400),
    "times out": ServerTimeout("no answer in time"),
    "is gone": ServerUnreachable("nobody there"),
    "breaks off": ServerLost("the connection broke"),
    "is given up between": ServerRefused("a gateway waits no longer", status=504),
}
UNKNOWN: tuple[Trouble, ...] = ("times out", "breaks off", "is given up between")
"""What was asked for may have been done, or be going on."""


@dataclass
class ToyEngine:
    """A worker in memory. `troubles`: at which call of which step something goes wrong, counted from 0."""

    url: str
    log: list[str]
    troubles: Mapping[tuple[Step, int], Trouble] = field(default_factory=dict)
    weights: str = "old"
    version: str = "old"
    paused: bool = False
    updating: bool = False
    calls: dict[str, int] = field(default_factory=dict)

    resume_call = Call("http://toy", "/continue")

    async def _take(self, step: Step) -> None:
        await asyncio.sleep(0)
        trouble = self.troubles.get((step, self.calls.get(step, 0)))
        self.calls[step] = self.calls.get(step, 0) + 1
        self.log.append(f"{self.url} {step}")
        if trouble is not None:
            if step == "update":
                self.weights = "half"
                self.updating = trouble in UNKNOWN
            if step == "pause" and trouble in UNKNOWN:
                self.paused = True  # it was asked, and did so after we had given up
            raise ERRORS[trouble]

    async def served(self) -> Served:
        await self._take("served")
        return Served("/old", self.version, "/old")

    async def pause(self, mode: ReloadMode, *, timeout_s: float) -> None:
        await self._take("pause")
        self.paused = mode != "drain"

    async def update(self, path: str, version: str, *, timeout_s: float) -> None:
        assert not self.updating, "a second update beside the first locks a server up"
        await self._take("update")
        self.weights = self.version = version

    async def abort_all(self) -> None:
        await self._take("abort_all")

    async def resume(self) -> None:
        await self._take("resume")
        self.paused = False
        self.log.append(f"{self.url} runs with {self.weights}")

    async def probe(self, *, timeout_s: float) -> tuple[str, ...]:
        await self._take("probe")
        return (self.version,)


class Listener(Watchdog):
    """A watchdog that starts no process and remembers whether it was needed."""

    def __init__(self) -> None:
        super().__init__([], key=None)
        self.needed = False

    def take_over(self) -> None:
        self.needed = True


@dataclass
class Run:
    workers: Sequence[Worker]
    engines: Sequence[ToyEngine]
    log: list[str]
    watchdog: Listener
    settled: list[tuple[str, dict[str, str]]]


async def reload(plans: Sequence[Mapping[tuple[Step, int], Trouble]], mode: ReloadMode = "retract") -> Run:
    log: list[str] = []
    engines = [ToyEngine(f"s{number}", log, plan) for number, plan in enumerate(plans)]
    workers = [Worker(engine, Served("/old", "old", "/old")) for engine in engines]
    behind = {engine.url: (engine.url,) for engine in engines}
    settled: list[tuple[str, dict[str, str]]] = []

    def settle() -> None:
        settled.append(outcome(workers, behind, "new"))
        log.append("settle " + ",".join(sorted(settled[-1][1])))

    steps = Reloading(
        workers=workers,
        path="/new",
        version="new",
        mode=mode,
        update_timeout_s=1.0,
        drain_timeout_s=1.0,
        settle=settle,
    )
    watchdog = Listener()
    await steps.run(watchdog)
    return Run(workers, engines, log, watchdog, settled)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "RESUME", RetrySettings(attempts=3, first_wait_s=0.0, longest_wait_s=0.0))


async def test_no_worker_continues_before_every_one_has_the_new_weights() -> None:
    run = await reload([{}, {}, {}])
    assert {engine.weights for engine in run.engines} == {"new"}
    order = [line.split()[1] for line in run.log if not line.startswith("settle")]
    assert order.index("resume") > max(at for at, step in enumerate(order) if step == "update")
    assert order.index("update") > max(at for at, step in enumerate(order) if step == "pause")
    assert order.count("probe") == 3
    assert run.settled[-1] == ("new", {})
    assert not run.watchdog.needed


async def test_a_worker_that_refuses_is_rolled_back_and_left_out_before_it_continues() -> None:
    run = await reload([{("update", 0): "refuses"}, {}])
    failed, well = run.workers
    assert (failed.why, failed.is_as_before, run.engines[0].weights) == ("it refuses", True, "old")
    assert (well.why, run.engines[1].weights) == (None, "new")
    assert run.log.index("settle s0") < run.log.index("s0 resume")
    assert run.settled[-1] == ("new", {"s0": "it refuses"})


async def test_a_rollback_that_fails_too_leaves_nothing_running_on_half_loaded_weights() -> None:
    run = await reload([{("update", 0): "refuses", ("update", 1): "refuses"}])
    assert run.engines[0].weights == "half"
    assert not run.workers[0].is_as_before
    assert not run.engines[0].paused
    assert run.log.index("settle s0") < run.log.index("s0 resume")
    assert run.settled[-1][1] == {"s0": "it refuses"}


@pytest.mark.parametrize("trouble", UNKNOWN)
async def test_an_update_without_an_answer_is_not_followed_by_another_beside_it(trouble: Trouble) -> None:
    run = await reload([{("update", 0): trouble}])
    assert run.log.count("s0 update") == 1
    assert "s0 abort_all" in run.log
    assert not run.workers[0].is_as_before


async def test_where_every_worker_is_rolled_back_the_fleet_stays_at_the_old_version() -> None:
    run = await reload([{("update", 0): "refuses"}, {("pause", 0): "refuses"}])
    assert [worker.is_as_before for worker in run.workers] == [True, True]
    assert run.settled[-1] == ("old", {})


async def test_a_worker_that_does_not_generate_with_the_new_weights_gets_the_old_ones() -> None:
    run = await reload([{("probe", 0): "is gone"}, {}])
    assert run.workers[0].why == "nobody there"
    assert (run.engines[0].weights, run.engines[0].paused) == ("old", False)
    assert run.workers[0].is_as_before
    assert run.settled[-1] == ("new", {"s0": "nobody there"})


async def test_a_worker_that_does_not_continue_is_left_to_the_watchdog() -> None:
    run = await reload([{("resume", at): "is gone" for at in range(10)}])
    assert run.watchdog.needed
    assert run.workers[0].why == "nobody there"
    assert run.settled[-1][1] == {"s0": "nobody there"}


def steps_of(engines: Sequence[ToyEngine]) -> Reloading:
    return Reloading(
        workers=[Worker(engine, Served("/old", "old", "/old")) for engine in engines],
        path="/new",
        version="new",
        mode="retract",
        update_timeout_s=1.0,
        drain_timeout_s=1.0,
        settle=lambda: None,
    )


async def test_a_reload_that_is_cancelled_leaves_none_paused() -> None:
    for turns in range(12):
        log: list[str] = []
        engines = [ToyEngine("s0", log), ToyEngine("s1", log)]
        steps = steps_of(engines)
        task = asyncio.create_task(steps.run(Listener()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not any(engine.paused for engine in engines)


@pytest.mark.parametrize("well", [True, False])
async def test_a_cancel_while_a_worker_continues_waits_for_it_or_for_the_watchdog(well: bool) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    class Slow(ToyEngine):
        async def resume(self) -> None:
            asked.set()
            await answer.wait()
            await super().resume()

    engine = Slow("s0", [], {} if well else {("resume", at): "is gone" for at in range(10)})
    steps = steps_of([engine])
    watchdog = Listener()
    task = asyncio.create_task(steps.run(watchdog))
    async with asyncio.timeout(30):
        await asked.wait()
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert engine.paused != well
    assert watchdog.needed != well


PLANS = st.dictionaries(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 2)), st.sampled_from(sorted(ERRORS)), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PLANS, min_size=1, max_size=3), st.sampled_from(["drain", "abort", "retract"]))
def test_whatever_fails(plans: list[dict[tuple[Step, int], Trouble]], mode: ReloadMode) -> None:
    run = asyncio.run(reload(plans, mode))
    version, failed = run.settled[-1]
    for worker, engine in zip(run.workers, run.engines, strict=True):
        # What may be used has whole weights of the fleet's version; what failed has not the new ones.
        if worker.url not in failed:
            assert engine.weights == engine.version == version
            assert not engine.paused
        assert (worker.why is None) == (engine.url not in failed and version == "new")
        assert worker.why is not None or not worker.is_as_before
        if worker.is_as_before:
            assert engine.weights == "old"
        # Only a worker that could not be asked stays paused, and then the watchdog goes on asking.
        if engine.paused:
            assert run.watchdog.needed
        # A worker with half of the new weights runs only after it was said that it must get nothing.
        if f"{engine.url} runs with half" in run.log:
            said = [at for at, line in enumerate(run.log) if line.startswith("settle") and engine.url in line]
            assert said
            assert said[0] < run.log.index(f"{engine.url} runs with half")
