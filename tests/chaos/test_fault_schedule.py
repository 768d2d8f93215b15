"""Every fault that a server can have, on a schedule, in virtual time: the run ends complete and identical."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks._simulated import Moves, SimulatedTransport, reply, tasks
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.retry import RetrySettings
from rro_sdk.pairs import pair_of
from rro_sdk.policy import ReActPolicy
from rro_sdk.sampler import Sampler
from rro_sdk.types import Discarded, PreferencePair, StepRecord, TaskFailed
from servers.fake import FakeSettings, Fault, Timed
from servers.simulated import PROFILES, SimulatedFleet, VirtualLoop
from tests.checkpoints import write_checkpoint

DEADLINE_S = 20.0
PLAIN = FakeSettings(reply=reply, latency=PROFILES["h100-gemma2-2b"].latency, max_running_requests=16)


class Timekeeper(SimulatedTransport):
    """Remembers how long the longest completion was outstanding."""

    longest_s = 0.0

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await super().request(method, server, path, body, timeout_s)
        finally:
            if path == "/v1/chat/completions":
                self.longest_s = max(self.longest_s, clock() - began)


def explore(
    count: int, *settings: FakeSettings, update: Path | None = None
) -> tuple[dict[str, PreferencePair], float, float, int]:
    """Pairs, virtual seconds in all and of the longest request, and steps that were thrown away."""

    async def main() -> tuple[dict[str, PreferencePair], float, float, int]:
        simulated = SimulatedFleet(list(settings))
        carrier = Timekeeper(simulated)
        if update is not None:
            body = msgspec.json.encode({"model_path": str(update), "weight_version": "v1"})
            for url in simulated.urls:
                await carrier.request("POST", url, "/update_weights_from_disk", body, 60.0)
        limits = FleetSettings(
            request_timeout_s=DEADLINE_S, retry=RetrySettings(attempts=12, total_s=600.0), outage_s=300.0
        )
        pairs, discarded, ended = {}, 0, 0
        async with Fleet(simulated.urls, limits, transport=carrier) as fleet:
            await fleet.check()
            async with Sampler(Moves(), policy=ReActPolicy(fleet), tasks_in_flight=32) as sampler:
                async for event in sampler.events(tasks(count)):
                    assert not isinstance(event, TaskFailed), event.reason
                    discarded += isinstance(event, Discarded)
                    if isinstance(event, StepRecord) and (pair := pair_of(event)) is not None:
                        pairs[pair.id] = pair
                ended = sampler.summary().tasks
        assert ended == count
        now = asyncio.get_running_loop().time()
        simulated.stop()
        return pairs, now, carrier.longest_s, discarded

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def test_a_run_of_200_tasks_survives_every_fault_of_its_servers() -> None:
    # A reply that cannot be read is asked for once more, elsewhere: one server alone gives them.
    unreadable = (Fault("truncated_json"), Fault("not_json"))

    def faults(number: int) -> Mapping[int, Fault]:
        kinds = (
            Fault("hang"),
            Fault("reset"),
            Fault("cut_body"),
            Fault("ignores_abort"),
            Fault("slow_drip", seconds=2 * DEADLINE_S),
            Fault("status", status=500),
            Fault("status", status=429, retry_after_s=1.0),
            Fault("status", status=503, retry_after_s=0.5),
            *(unreadable if number == 0 else ()),
        )
        return {11 + 7 * number + 37 * position: fault for position, fault in enumerate(kinds)}

    # All dead at once for a minute; before that one alone, in the middle of its work.
    outage = Timed(Fault("dead", seconds=60.0), 6.0, 7.0)
    alone = Timed(Fault("dead", seconds=5.0), 2.0, 3.0)
    servers = [
        replace(PLAIN, faults=faults(number), timed_faults=[outage] if number else [alone, outage])
        for number in range(4)
    ]
    calm, quick, _, _ = explore(200, *[PLAIN] * 4)
    stormy, slow, longest_s, _ = explore(200, *servers)
    assert calm
    assert stormy == calm
    assert slow > max(60.0, quick), "the outage was lived through"
    assert longest_s <= DEADLINE_S + 0.001, "nothing was outstanding beyond its deadline"


def test_replies_of_other_weights_are_not_mixed_into_a_step(tmp_path: Path) -> None:
    # A server that has been updated says once that it has not; it is left out until it says otherwise.
    stale = replace(PLAIN, faults={150: Fault("stale_version"), 400: Fault("stale_version")})
    model = write_checkpoint(tmp_path / "model")
    calm, _, _, none = explore(60, *[PLAIN] * 4, update=model)
    stormy, _, _, discarded = explore(60, stale, PLAIN, PLAIN, PLAIN, update=model)
    assert (none, {pair.weight_version for pair in calm.values()}) == (0, {"v1"})
    assert discarded > 0
    assert stormy == calm
