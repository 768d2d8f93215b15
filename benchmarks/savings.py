"""`python -m benchmarks.savings`: what early decision and reuse save and leave alone, on outcome streams.

A step is a prefix with a true value, and candidates around it (`rro_sdk.planner` has the model). Streams are
simulated, binary and dense, over a grid of success rates and spreads; and recorded: the final rewards of real
agents on real SQL questions, where the data folder is there. Every step is played twice, with early decision
and drawing everything; a difference in the pair, the baseline or the outcome is an error.

- *judging alone* is one candidate against one threshold: all that early decision can save.
- under `policy` prefixes the first candidate keeps all m, for it is the next step's baseline; and where
  several candidates fail, the pair needs the worst, which the intervals seldom tell before the end.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks._harness import Metric, at_least, at_most, finish
from rro_sdk.envs._data import data_folder
from rro_sdk.methods import FixedSize, RisingReward
from rro_sdk.methods.base import Method, advance
from rro_sdk.methods.race import BASELINE, Need, Settled, StepRace
from rro_sdk.types import Action, Estimate, Observation

ROLLOUTS = (3, 5, 10)
RATES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
SPREADS = (0.0, 0.1, 0.3)
MOST = 5
WHY = (
    "the trajectory's own action keeps all m as the next baseline, which is more than half of all rollouts,"
    " and telling the worst candidate from the next worst takes most of the others'"
)


@dataclass(frozen=True)
class Stream:
    """Outcomes of one step, in the order in which they would be drawn."""

    baseline: tuple[float, ...]
    candidates: tuple[tuple[float, ...], ...]


@dataclass
class Bill:
    """What steps cost: rollouts of candidates, and replies that drew a candidate or began a rollout."""

    steps: int = 0
    rollouts: int = 0
    drawn: int = 0
    decisions: int = 0
    seconds: float = 0.0

    def per_step(self) -> float:
        return self.rollouts / self.steps


def value_near(value: float, spread: float, rng: random.Random) -> float:
    if spread == 0.0:
        return value
    weight = 1.0 / spread - 1.0
    return rng.betavariate(weight * value, weight * (1.0 - value))


def simulated(rollouts: int, steps: int, rng: random.Random, *, dense: bool) -> Iterator[Stream]:
    def outcomes(value: float) -> tuple[float, ...]:
        if dense:  # a share of rewards between, as InterCode's: two decimals
            return tuple(
                round(rng.betavariate(4 * value + 0.1, 4 * (1 - value) + 0.1), 2) for _ in range(rollouts)
            )
        return tuple(float(rng.random() < value) for _ in range(rollouts))

    for number in range(steps):
        rate, spread = RATES[number % len(RATES)], SPREADS[number // len(RATES) % len(SPREADS)]
        yield Stream(outcomes(rate), tuple(outcomes(value_near(rate, spread, rng)) for _ in range(MOST)))


def recorded(rollouts: int, steps: int, rng: random.Random) -> Iterator[Stream]:
    """Redrawn from the final rewards that real agents had on one question, a question a step."""
    folder = data_folder()
    if folder is None:
        return
    rewards: dict[object, list[float]] = {}
    with (folder / "sql" / "recorded_turns.jsonl").open() as file:
        for line in file:
            row = json.loads(line)
            turns = [turn for turn in row["turns"] if turn.get("reward") is not None]
            if turns:
                rewards.setdefault(row["idx"], []).append(min(1.0, max(0.0, turns[-1]["reward"])))
    pools = [pool for pool in rewards.values() if len(pool) >= 2]
    for _ in range(steps):
        pool = rng.choice(pools)
        yield Stream(
            tuple(rng.choices(pool, k=rollouts)),
            tuple(tuple(rng.choices(pool, k=rollouts)) for _ in range(MOST)),
        )


def play(method: Method, stream: Stream, bill: Bill, *, early: bool) -> tuple[object, ...]:
    """One step; its essence, which early decision must not change."""
    race = StepRace(method, Estimate(stream.baseline), early=early)
    spent = 0.0
    while True:
        began = time.thread_time()
        need = race.need()
        spent += time.thread_time() - began
        bill.decisions += 1
        if isinstance(need, Settled):
            break
        assert isinstance(need, Need)
        for index in need.draws:
            race.drew(index, Action(str(index), str(index)), Observation(""))
        for index, count in need.outcomes.items():
            assert index != BASELINE
            race.learned(index, stream.candidates[index][:count])
    bill.steps += 1
    bill.seconds += spent
    bill.drawn += len(need.view.candidates)
    bill.rollouts += sum(len(each.estimate.outcomes) for each in need.view.candidates)
    went_on = advance(need.completed, method.prefix).index
    kept = next(each.estimate for each in need.view.candidates if each.index == went_on)
    return method.pair(need.completed), need.outcome, len(need.view.candidates), went_on, kept


def judged(rollouts: int, streams: Iterable[Stream]) -> Bill:
    """One candidate against the baseline, and nothing else: how many outcomes until it is certain."""
    bill = Bill()
    for stream in streams:
        threshold = Estimate(stream.baseline).reward
        known = 0
        while known < rollouts:
            estimate = Estimate(stream.candidates[0][:known] or (0.0,), planned=rollouts)
            low, high = (estimate.lowest, estimate.highest) if known else (0.0, 1.0)
            if low >= threshold or high < threshold:
                break
            known += 1
        bill.steps, bill.rollouts = bill.steps + 1, bill.rollouts + known
    return bill


def compare(method: Method, streams: Sequence[Stream]) -> tuple[Bill, Bill]:
    """Bills with early decision and without; raises where anything but the bill differs."""
    some, every = Bill(), Bill()
    for stream in streams:
        if play(method, stream, some, early=True) != play(method, stream, every, early=False):
            raise AssertionError(f"early decision changed a step of {method}: {stream}")
    return some, every


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.savings")
    parser.add_argument("--steps", type=int, default=10_500, help="Steps of each stream.")
    got = parser.parse_args(argv)
    rng = random.Random(0)
    metrics: list[Metric] = []
    line: dict[str, float] = {}
    for rollouts in ROLLOUTS:
        kinds = {
            "binary": list(simulated(rollouts, got.steps, rng, dense=False)),
            "dense": list(simulated(rollouts, got.steps, rng, dense=True)),
            "recorded": list(recorded(rollouts, got.steps, rng)),
        }
        for kind, streams in kinds.items():
            if not streams:
                continue
            name = f"m = {rollouts}, {kind}"
            alone = 1 - judged(rollouts, streams).per_step() / rollouts
            if (rollouts, kind) == (5, "binary"):
                metrics.append(at_least(f"{name}: saved, judging alone", 100 * alone, "%", 30))
                line["alone"] = 100 * alone
            else:
                metrics.append(Metric(f"{name}: saved, judging alone", 100 * alone, "%"))
            for label, method in (
                ("rising, policy prefixes", RisingReward(rollouts, MOST)),
                ("rising, chosen prefixes", RisingReward(rollouts, MOST, prefix="chosen")),
                ("fixed size 5", FixedSize(rollouts, MOST)),
            ):
                some, every = compare(method, streams)
                saved = 100 * (1 - some.rollouts / every.rollouts)
                if (rollouts, kind) == (5, "binary") and label.startswith("rising, policy"):
                    metrics.append(at_least(f"{name}: saved, {label}", saved, "%", 30, note=WHY))
                else:
                    metrics.append(Metric(f"{name}: saved, {label}", saved, "%"))
                if (rollouts, kind) != (5, "binary"):
                    continue
                metrics.append(Metric(f"{name}: rollouts a step, {label}, all", every.per_step()))
                if label.startswith("rising, policy"):
                    metrics += [
                        Metric(f"{name}: rollouts a step, {label}, early", some.per_step()),
                        at_most(
                            f"{name}: the same, beside the next step's baseline",
                            some.per_step() - rollouts,
                            "",
                            6.5,
                        ),
                        Metric(
                            f"{name}: replies that draw candidates or begin rollouts",
                            (some.rollouts + some.drawn) / some.steps,
                            "a step",
                        ),
                        Metric(f"{name}: the same with reuse=unbiased", some.per_step(), "a step"),
                        at_most("CPU of a decision, early", 1e6 * some.seconds / some.decisions, "us", 20),
                        Metric("CPU of a decision, all", 1e6 * every.seconds / every.decisions, "us"),
                    ]
                    line["per step"], line["step"] = some.per_step(), saved
                else:
                    metrics.append(Metric(f"{name}: rollouts a step, {label}, early", some.per_step()))
        if rollouts == 5:
            for rate in RATES:
                some, every = compare(
                    RisingReward(5, MOST),
                    [s for n, s in enumerate(kinds["binary"]) if RATES[n % len(RATES)] == rate],
                )
                metrics.append(
                    Metric(
                        f"m = 5, success rate {rate}: saved", 100 * (1 - some.rollouts / every.rollouts), "%"
                    )
                )
    return finish(
        "savings",
        metrics,
        f"judging alone saves {line['alone']:.0f} % of the rollouts at m = 5, a whole step of the rising rule"
        f" {line['step']:.0f} %; it spends {line['per step']:.2f} a step where fixed size 5 spends 25;"
        " same pairs in every step",
        settings=vars(got),
    )


if __name__ == "__main__":
    sys.exit(main())
