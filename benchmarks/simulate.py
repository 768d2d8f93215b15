"""The SDK's sampler on simulated fleets of 1 to 256 servers, in virtual time.

    python -m benchmarks.simulate --servers 1,4,16,64,256
    python -m benchmarks.simulate --scenario paper|1k-gpus    (the plan of `_plan_report.py`)

The same sampler, fleet, routing, limits and retries as against real servers; simulated are the servers (one
model with `servers.fake`: continuous batching, prefill, prefix cache, queue), the network and the clock.
The world is a game without I/O (`_simulated.py`), the method the rising rule with m = 5 and 5 candidates.

Weak scaling: tasks grow with servers, and a small fleet gets more than its share for a steady figure. Two
figures each. *Steady*: the stretch in which there are tasks left to start, without the first quarter of a
generation of tasks, in which all are in step. *Whole run*: with the ramp and with the tail, in which
servers idle because there is nothing left to do; on runs as short as these it says more about their
length than about the SDK, so the bars are on the steady figure. Which pairs come out is decided by the tasks
and the seeds alone, which is checked; so pairs per completion are taken over all runs, and pairs/s in the
stretch are its completions/s times that, without the noise of which tasks ended in it.

Client CPU is the process's time less what the simulated servers took of it, with the collector off
because their memory is not the client's. It holds all of the SDK but the wire; what that costs is taken from
the last `benchmarks.client` (bare aiohttp), where there is one.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import msgspec

from benchmarks._harness import RESULTS, Metric, at_least, finish
from benchmarks._plan_report import TASKS, Demand, report
from benchmarks._simulated import Moves, SimulatedTransport, reply, tasks
from rro_sdk.errors import RROError
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.methods.rising import RisingReward
from rro_sdk.pairs import pair_of
from rro_sdk.policy import ReActPolicy
from rro_sdk.sampler import TASKS_PER_PLACE, Sampler
from rro_sdk.types import PreferencePair, StepRecord, Task
from servers.fake import FakeSettings, Fault, Timed
from servers.simulated import PROFILES, Profile, SimulatedFleet, Totals, VirtualLoop

BARS = {64: 0.97, 256: 0.93}
GENERATIONS = 2.25
"""Tasks over tasks in flight: a quarter to get out of step, one to measure, and one in the tail."""

WARM_UP = 1.25
FEWEST_TASKS = 300
"""A fleet of one server runs that many, so that its figure, which all others are held against, is steady."""

PROFILE = "h100-gemma2-2b"
"""The bars are on this one; other profiles and scenarios have result files of their own."""

SCENARIOS = ("plain", "outage", "slow", *TASKS)


@dataclass(frozen=True)
class Run:
    """What one fleet did.

    Attributes:
        servers: its size.
        slots: sequences at once of each.
        in_flight: tasks in flight.
        tasks: explored in all.
        begin, steady, last, end: totals at the start, where the steady stretch begins, when the last task
            was started, and at the end.
        pairs: by id; the same task has the same ones in every run.
        retries: requests that the fleet tried again.
        client_s: real CPU seconds of the process without its servers.
        server_s: those of the simulated servers.
    """

    servers: int
    slots: int
    in_flight: int
    tasks: int
    begin: Totals
    steady: Totals
    last: Totals
    end: Totals
    pairs: dict[str, PreferencePair]
    failed: int
    retries: int
    client_s: float
    server_s: float

    def completions_per_s(self, since: Totals, until: Totals) -> float:
        """Per server, in virtual seconds."""
        return (until.completed - since.completed) / (until.at_s - since.at_s) / self.servers

    def slots_busy(self, since: Totals, until: Totals) -> float:
        """Share of the slots that were taken."""
        seconds = (until.at_s - since.at_s) * self.servers * self.slots
        return (until.meter.slot_s - since.meter.slot_s) / seconds

    def batch(self, since: Totals, until: Totals) -> float:
        """Mean size of a decode step over the slots."""
        steps = until.meter.decode_steps - since.meter.decode_steps
        return (until.meter.decode_tokens - since.meter.decode_tokens) / steps / self.slots

    def cached(self, since: Totals, until: Totals) -> float:
        """Share of the prompt tokens that came out of a prefix cache."""
        return (until.cached_tokens - since.cached_tokens) / (until.prompt_tokens - since.prompt_tokens)

    @property
    def client_ms(self) -> float:
        """Real CPU-ms of the client per completion."""
        return 1000 * self.client_s / self.end.completed


async def simulate(servers: int, count: int, in_flight: int, settings: list[FakeSettings], seed: int) -> Run:
    """Explore `count` tasks on so many servers."""
    fleet_of_servers = SimulatedFleet(settings, metered=True)
    marks: dict[str, Totals] = {}

    def feed() -> Iterator[Task]:
        for number, task in enumerate(tasks(count)):
            if number == int(WARM_UP * in_flight):
                marks["steady"] = fleet_of_servers.totals()
            yield task
        marks["last"] = fleet_of_servers.totals()

    pairs: dict[str, PreferencePair] = {}
    begin, began = fleet_of_servers.totals(), time.process_time()
    carrier = SimulatedTransport(fleet_of_servers)
    async with Fleet(fleet_of_servers.urls, FleetSettings(), transport=carrier) as fleet:
        await fleet.check()
        method = RisingReward(rollouts=5, max_candidates=5)
        policy = ReActPolicy(fleet)
        async with Sampler(
            Moves(), policy=policy, method=method, seed=seed, tasks_in_flight=in_flight
        ) as sampler:
            async for event in sampler.events(feed()):
                if isinstance(event, StepRecord) and (pair := pair_of(event)) is not None:
                    pairs[pair.id] = pair
            failed = sampler.summary().tasks_failed
    end, cpu = fleet_of_servers.totals(), time.process_time() - began
    fleet_of_servers.stop()
    return Run(
        servers=servers,
        slots=settings[0].max_running_requests,
        in_flight=in_flight,
        tasks=count,
        begin=begin,
        steady=marks["steady"],
        last=marks["last"],
        end=end,
        pairs=pairs,
        failed=failed,
        retries=fleet.retries,
        client_s=cpu - fleet_of_servers.server_cpu_s,
        server_s=fleet_of_servers.server_cpu_s,
    )


def settings_of(profile: Profile, slots: int, servers: int, scenario: str) -> list[FakeSettings]:
    """One a server. `outage`: each eighth dies for a while; `slow`: each eighth is half as fast."""
    plain = FakeSettings(
        reply=reply,
        latency=profile.latency,
        max_running_requests=slots,
        max_total_tokens=profile.max_total_tokens,
    )
    if scenario == "outage":
        odd = replace(plain, timed_faults=(Timed(Fault("dead", seconds=2.0), from_s=3.0),))
    elif scenario == "slow":
        half = {name: 2 * getattr(plain.latency, name) for name in plain.latency.__dataclass_fields__}
        odd = replace(plain, latency=replace(plain.latency, **half))
    else:
        odd = plain
    return [odd if number % 8 == 7 else plain for number in range(servers)]


def run(
    servers: int, slots: int, profile: Profile, scenario: str, seed: int, fewest_tasks: int = FEWEST_TASKS
) -> Run:
    """One size, in a loop and a virtual time of its own."""
    in_flight = math.ceil(TASKS_PER_PLACE * servers * slots / 5)
    count = max(fewest_tasks, math.ceil(GENERATIONS * in_flight))
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            settings = settings_of(profile, slots, servers, scenario)
            return runner.run(simulate(servers, count, in_flight, settings, seed))
    finally:
        gc.enable()


def same_pairs(runs: list[Run]) -> float:
    """Share of the tasks that two runs have in common whose pairs are the same in both (rule 10)."""
    shared = same = 0
    for one, other in itertools.pairwise(runs):
        both = min(one.tasks, other.tasks)
        for number in range(both):
            ids = [f"t{number}/{step}" for step in range(1, Moves.max_steps + 1)]
            shared += 1
            same += all(one.pairs.get(each) == other.pairs.get(each) for each in ids)
    return same / shared if shared else 1.0


def wire_ms(results: Path = RESULTS) -> float | None:
    """CPU-ms of one completion on the wire: bare aiohttp's in the last `benchmarks.client`, if there is one.

    Of its concurrencies the highest.
    """
    file = results / "client.json"
    if not file.exists():
        return None
    metrics = msgspec.json.decode(file.read_bytes(), type=_Results).metrics
    values = {
        int(metric.metric.rpartition(" ")[2]): metric.value
        for metric in metrics
        if metric.metric.startswith("bare aiohttp, concurrency ")
    }
    return values[max(values)] if values else None


class _Results(msgspec.Struct):
    metrics: list[Metric]


def metrics_of(runs: list[Run], wire: float | None, *, barred: bool) -> list[Metric]:
    """Figures of every size, and their ratios to the first.

    Args:
        runs: one a size.
        wire: see `wire_ms`.
        barred: hold the ratios to the bars.
    """
    pairs_per_completion = sum(len(each.pairs) for each in runs) / sum(each.end.completed for each in runs)
    base = runs[0]
    base_rate = base.completions_per_s(base.steady, base.last)
    found: list[Metric] = []
    for each in runs:
        size = f"{each.servers} servers" if each.servers > 1 else "1 server"
        rate = each.completions_per_s(each.steady, each.last)
        whole = each.completions_per_s(each.begin, each.end)
        found += [
            Metric(f"pairs/s per server, {size}", rate * pairs_per_completion, "1/s"),
            Metric(f"completions/s that the fleet asks for, {size}", rate * each.servers, "1/s"),
            Metric(f"slots busy, {size}", each.slots_busy(each.steady, each.last)),
            Metric(f"decode batch over slots, {size}", each.batch(each.steady, each.last)),
            Metric(f"prompt tokens from the prefix cache, {size}", each.cached(each.steady, each.last)),
            Metric(f"client CPU per completion without the wire, {size}", each.client_ms, "ms"),
            Metric(
                f"completions/s that one client process can drive, {size}",
                1000 / (each.client_ms + (wire or 0.0)),
                "1/s",
                note="with the wire" if wire is not None else "without the wire: run benchmarks.client first",
            ),
        ]
        if each is not base:
            over = f"pairs/s per server, {size} over {base.servers}"
            bar = BARS.get(each.servers) if barred and base.servers == 1 else None
            note = f"slots busy {each.slots_busy(each.steady, each.last):.3f}, prompt tokens from the cache "
            note += (
                f"{each.cached(each.steady, each.last):.3f} against {base.cached(base.steady, base.last):.3f}"
            )
            found.append(
                Metric(over, rate / base_rate)
                if bar is None
                else at_least(over, rate / base_rate, "", bar, note=note)
            )
            ratio = whole / base.completions_per_s(base.begin, base.end)
            found.append(Metric(f"the same with ramp and tail, {size} over {base.servers}", ratio))
    found.append(
        at_least("share of shared tasks with the same pairs in every run", same_pairs(runs), "", 1.0)
    )
    found.append(Metric("tasks set aside", sum(each.failed for each in runs)))
    found.append(Metric("requests tried again", sum(each.retries for each in runs)))
    return found


def demand_of(one: Run) -> Demand:
    """What one server asks of everything else."""
    return Demand(
        completions_s=one.completions_per_s(one.steady, one.last),
        completions=one.end.completed / one.tasks,
        pairs=len(one.pairs) / one.tasks,
        client_ms=one.client_ms,
    )


def sizes(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        found = [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter("give numbers such as 1,4,16") from None
    if not found or min(found) < 1 or sorted(set(found)) != found:
        raise click.BadParameter("give rising numbers of 1 or more, such as 1,4,16")
    return found


@click.command(help=__doc__)
@click.option("--servers", "counts", default="1,4,16,64,256", show_default=True, callback=sizes)
@click.option("--slots", default=16, show_default=True, type=click.IntRange(min=1), help="of each server")
@click.option("--profile", default=PROFILE, show_default=True, type=click.Choice(sorted(PROFILES)))
@click.option("--scenario", default="plain", show_default=True, type=click.Choice(SCENARIOS))
@click.option("--seed", default=0, show_default=True)
def main(counts: list[int], slots: int, profile: str, scenario: str, seed: int) -> None:
    if scenario in TASKS:
        one = run(1, PROFILES[profile].slots, PROFILES[profile], "plain", seed)
        raise SystemExit(report(scenario, demand_of(one), PROFILES[profile].source))
    runs: list[Run] = []
    for count in counts:
        began = time.monotonic()
        try:
            runs.append(run(count, slots, PROFILES[profile], scenario, seed))
        except RROError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(error.exit_code) from None
        done = runs[-1]
        print(
            f"{count} servers: {done.tasks} tasks, {done.end.completed} completions,"
            f" {done.end.at_s:.1f} virtual s in {time.monotonic() - began:.0f} s",
            file=sys.stderr,
        )
    plain, wire = scenario == "plain", wire_ms()
    metrics = metrics_of(runs, wire, barred=plain and profile == PROFILE)
    last = runs[-1]
    ratios = [
        f"{metric.value:.3f} at {each.servers}"
        for each in runs[1:]
        for metric in metrics
        if metric.metric.startswith(f"pairs/s per server, {each.servers} servers over")
    ]
    code = finish(
        "_".join(["simulate", *([profile] if profile != PROFILE else []), *([] if plain else [scenario])]),
        metrics,
        f"pairs/s per server against {runs[0].servers}: {', '.join(ratios) or 'one size only'};"
        f" one client process drives {1000 / (last.client_ms + (wire or 0.0)):,.0f} completions/s,"
        f" {last.servers} such servers ask for"
        f" {last.completions_per_s(last.steady, last.last) * last.servers:,.0f}",
        settings={
            "servers": counts,
            "slots": slots,
            "profile": profile,
            "scenario": scenario,
            "seed": seed,
            "tasks": [each.tasks for each in runs],
            "tasks_in_flight": [each.in_flight for each in runs],
        },
        notes=[
            f"profile {profile}: {PROFILES[profile].source}",
            f"{slots} slots a server in place of the profile's {PROFILES[profile].slots}, so that 256 "
            "servers take minutes to simulate and not hours; fewer slots are harder to share out evenly",
        ],
    )
    raise SystemExit(code)


if __name__ == "__main__":
    main()
