"""Virtual time, simulated servers, and the SDK on top of both."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import simulate
from benchmarks._simulated import MAX_TURNS, NEEDED, Moves, SimulatedTransport, reply, success_rate, tasks
from rro_sdk.errors import ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.pairs import pair_of
from rro_sdk.policy import ReActPolicy
from rro_sdk.sampler import Sampler
from rro_sdk.types import Baseline, PreferencePair, StepRecord, TaskFailed
from servers.fake import FakeSettings, Fault, Latency, Timed
from servers.simulated import PROFILES, SimulatedFleet, Totals, VirtualLoop


def test_time_passes_at_once_and_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop, seen = asyncio.get_running_loop(), []

        async def wait(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, loop.time()))

        await asyncio.gather(wait("day", 86400.0 * 3), wait("second", 1.0), wait("hour", 3600.0))
        return seen

    began = time.monotonic()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == [("second", 1.0), ("hour", 3600.0), ("day", 259200.0)]
    assert time.monotonic() - began < 3600


def test_work_in_a_thread_holds_the_clock() -> None:
    async def main() -> float:
        working = asyncio.ensure_future(asyncio.to_thread(time.sleep, 0.1))
        timer = asyncio.ensure_future(asyncio.sleep(0.001))
        await asyncio.wait({working, timer}, return_when=asyncio.FIRST_COMPLETED)
        assert working.done()
        assert not timer.done()
        await timer
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == pytest.approx(0.001)


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    loop = VirtualLoop()
    try:
        with pytest.raises(RuntimeError, match="stands still"):
            loop.run_until_complete(asyncio.Event().wait())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(1))
    finally:
        loop.close()


Explored = tuple[dict[str, PreferencePair], Totals, list[float]]


def explore(*settings: FakeSettings, count: int = 24, metered: bool = False) -> Explored:
    """Pairs, what the servers (one of each setting) did, and the virtual time of every event."""

    async def main() -> Explored:
        simulated = SimulatedFleet(list(settings), metered=metered)
        pairs, times = {}, []
        async with Fleet(simulated.urls, FleetSettings(), transport=SimulatedTransport(simulated)) as fleet:
            await fleet.check()
            async with Sampler(Moves(), policy=ReActPolicy(fleet), tasks_in_flight=12) as sampler:
                async for event in sampler.events(tasks(count)):
                    assert not isinstance(event, TaskFailed), event.reason
                    times.append(asyncio.get_running_loop().time())
                    if isinstance(event, StepRecord) and (pair := pair_of(event)) is not None:
                        pairs[pair.id] = pair
        totals = simulated.totals()
        simulated.stop()
        return pairs, totals, times

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


PROFILE = PROFILES["h100-gemma2-2b"]
PLAIN = FakeSettings(reply=reply, latency=PROFILE.latency, max_running_requests=8)


def test_the_same_simulation_twice_is_the_same_to_the_last_event() -> None:
    assert explore(*[PLAIN] * 4) == explore(*[PLAIN] * 4, metered=True)


def test_one_server_and_sixteen_give_the_same_pairs() -> None:
    one, alone, _ = explore(PLAIN)
    many, together, _ = explore(*[PLAIN] * 16)
    assert one
    assert one == many
    assert alone.completed == together.completed
    assert together.at_s < alone.at_s


def test_servers_that_die_and_come_back_cost_time_but_no_pair() -> None:
    troubled = FakeSettings(
        reply=reply,
        latency=PROFILE.latency,
        max_running_requests=8,
        faults={20: Fault("status", status=503, retry_after_s=0.5), 40: Fault("reset")},
        timed_faults=[Timed(Fault("dead", seconds=2.0), 1.0)],
    )
    # A reply of the wrong shape is tried once elsewhere, so one server alone gives them.
    also_wrong = replace(troubled, faults={**troubled.faults, 60: Fault("wrong_n")})
    assert explore(also_wrong, troubled)[0] == explore(PLAIN, PLAIN)[0]


def test_the_world_is_as_good_as_its_rules_say() -> None:
    async def main() -> list[float]:
        simulated = SimulatedFleet([FakeSettings(reply=reply)])
        outcomes: list[float] = []
        carrier = SimulatedTransport(simulated)
        async with Fleet(simulated.urls, FleetSettings(), transport=carrier) as fleet:
            async with Sampler(Moves(), policy=ReActPolicy(fleet), tasks_in_flight=12) as sampler:
                async for event in sampler.events(tasks(150)):
                    if isinstance(event, Baseline):
                        outcomes += event.estimate.outcomes
        simulated.stop()
        return outcomes

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        outcomes = runner.run(main())
    expected = success_rate(MAX_TURNS, NEEDED)
    deviation = (expected * (1 - expected) / len(outcomes)) ** 0.5
    assert sum(outcomes) / len(outcomes) == pytest.approx(expected, abs=4 * deviation)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("status", status=429, retry_after_s=3.0), ServerRefused),
        (Fault("hang"), ServerTimeout),
        (Fault("reset"), ServerUnreachable),
        (Fault("cut_body"), ServerUnreachable),
        (Fault("slow_drip", seconds=20.0), ServerTimeout),
        (Fault("dead"), ServerUnreachable),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else value.__name__,
)
def test_the_simulated_network_fails_as_the_real_one(fault: Fault, error: type[Exception]) -> None:
    async def main() -> None:
        simulated = SimulatedFleet([FakeSettings(faults={1: fault})])
        body = b'{"messages": [{"role": "user", "content": "hello"}]}'
        async with SimulatedTransport(simulated) as carrier:
            path = "/v1/chat/completions"
            with pytest.raises(error) as caught:
                await carrier.post(simulated.urls[0], path, body, timeout_s=10.0)
            if isinstance(caught.value, ServerRefused):
                assert (caught.value.status, caught.value.retry_after) == (429, 3.0)
            await asyncio.sleep(5.0)
            assert b"choices" in await carrier.post(simulated.urls[0], path, body, timeout_s=10.0)
        simulated.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_profiles_are_what_their_sources_say() -> None:
    cpu = PROFILES["cpu-llama-4x192"].latency
    for running, tokens_per_s in ((1, 220), (8, 732), (32, 1116), (64, 1249)):
        assert running / cpu.step_s(running) == pytest.approx(tokens_per_s, rel=0.15)
    assert all(profile.source for profile in PROFILES.values())
    with pytest.raises(ValueError, match="per_token_s"):
        Latency(per_token_s=float("nan"))


@pytest.mark.parametrize("scenario", simulate.SCENARIOS)
def test_the_benchmark_on_fleets_of_toy_size(scenario: str) -> None:
    runs = [simulate.run(servers, 4, PROFILE, scenario, 0, fewest_tasks=24) for servers in (1, 8)]
    found = {metric.metric: metric for metric in simulate.metrics_of(runs, 0.1, barred=False)}
    assert found["share of shared tasks with the same pairs in every run"].ok
    assert found["tasks set aside"].value == 0
    for servers in ("1 server", "8 servers"):
        assert 0 < found[f"slots busy, {servers}"].value <= 1
        assert 0 < found[f"decode batch over slots, {servers}"].value <= 1
        assert 0 < found[f"prompt tokens from the prefix cache, {servers}"].value < 1
    if scenario == "outage":
        assert found["requests tried again"].value > 0


def test_the_cost_of_the_wire_is_that_of_the_last_client_benchmark(tmp_path: Path) -> None:
    assert simulate.wire_ms(tmp_path) is None
    kept = simulate.wire_ms()
    assert kept is not None, "benchmarks/results/client.json has no figure of that name any more"
    assert 0.01 < kept < 10.0
