"""From the seeds' results to the tables: means, intervals, comparisons. Pure.

Every interval is a 95 % percentile bootstrap over both sources of chance: seeds are redrawn, and the held-out
tasks too, the same ones for all seeds and policies, so that differences are paired by seed and task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from rro_sdk._numbers import exact_mean
from rro_sdk.errors import ConfigError
from trainers.table1.results import FEW_SHOT, SFT, Sampled, SeedResult, Thirds, Trained

RESAMPLES = 4000

Interval = tuple[float, float]
Outcomes = NDArray[np.float64]
"""Outcomes in [0, 1], of shape (seeds, tasks)."""
T = TypeVar("T")


class Row(msgspec.Struct, frozen=True):
    """One policy over the seeds. Sums and means are over seeds; rewards are in [0, 1].

    Attributes:
        key: `few-shot`, `sft` or `ARM/VARIANT`.
        reward: mean greedy outcome on the held-out tasks, with `interval`.
        over_sft: how much more than the SFT policy's, paired, with `over_sft_interval`.
        samples: candidates a step, the paper's "# Sample"; None where nothing is explored.
        null: what it would be if candidates were as good as their prefix; None for searches.
        tasks, rollouts, pairs, generated, prompt, sampling_s, training_s, dpo_steps: means over seeds.
        cpu_s: CPU seconds of sampling and training, mean over seeds; None where some are not known.
        left_out: pairs too long to train on, mean over seeds.
        outcome: mean outcome of the explored trajectories.
        failed: tasks that were set aside, mean over seeds.
        by_seed: the greedy reward of each seed.
        short: in some seed there were too few tasks to spend the budget of tokens on.
        drawn, drawn_interval, drawn_over_sft, drawn_over_sft_interval: the rewards at the temperature of the
            exploration, where they were asked for.
    """

    key: str
    reward: float
    interval: Interval
    over_sft: float
    over_sft_interval: Interval
    samples: float | None = None
    null: float | None = None
    tasks: float = 0.0
    rollouts: float = 0.0
    pairs: float = 0.0
    generated: float = 0.0
    prompt: float = 0.0
    sampling_s: float = 0.0
    training_s: float = 0.0
    dpo_steps: float = 0.0
    left_out: float = 0.0
    outcome: float | None = None
    short: bool = False
    drawn: float | None = None
    drawn_interval: Interval | None = None
    drawn_over_sft: float | None = None
    drawn_over_sft_interval: Interval | None = None
    cpu_s: float | None = None
    failed: float = 0.0
    by_seed: tuple[float, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """How much more reward one policy has than another, paired by seed and task, with its interval."""

    more: str
    less: str
    difference: float
    interval: Interval


class Table(msgspec.Struct, frozen=True):
    """The whole.

    Attributes:
        seeds, held_out: how many of each the rewards are means over.
        rows: Table 1, in the order in which the policies were evaluated.
        differences: comparisons that are asked about.
        thirds: Table 2, means over seeds, by policy.
    """

    seeds: int
    held_out: int
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    thirds: dict[str, Thirds]


def analyse(results: Sequence[SeedResult], *, seed: int = 0) -> Table:
    """Put the seeds together.

    Args:
        results: of one experiment.
        seed: of the resampling.

    Raises:
        ConfigError: there are no results, or they are not of the same policies and tasks.
    """
    keys = _same([list(result.evaluated) for result in results], "policies")
    held_out = _same(
        [len(each.outcomes) for result in results for each in result.evaluated.values()], "tasks"
    )
    outcomes = {key: np.array([result.evaluated[key].outcomes for result in results]) for key in keys}
    drawing = _same([list(result.drawn) for result in results], "policies")
    drawn = {key: np.array([result.drawn[key].outcomes for result in results]) for key in drawing}
    rng = np.random.default_rng(seed)
    seeds_drawn = rng.integers(len(results), size=(RESAMPLES, len(results)))
    tasks_drawn = rng.integers(held_out, size=(RESAMPLES, held_out))

    def interval(values: Outcomes) -> Interval:
        means = [
            float(values[np.ix_(seeds, tasks)].mean())
            for seeds, tasks in zip(seeds_drawn, tasks_drawn, strict=True)
        ]
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)

    def difference(more: str, less: str) -> Difference:
        values = outcomes[more] - outcomes[less]
        return Difference(more, less, float(values.mean()), interval(values))

    def when_drawn(key: str) -> dict[str, Any]:
        if key not in drawn:
            return {}
        over = drawn[key] - drawn[SFT]
        return {
            "drawn": float(drawn[key].mean()),
            "drawn_interval": interval(drawn[key]),
            "drawn_over_sft": float(over.mean()),
            "drawn_over_sft_interval": interval(over),
        }

    rows = []
    for key in keys:
        over = difference(key, SFT)
        sampled = [result.sampled.get(key) for result in results]
        trained = [result.trained.get(key) for result in results]
        rows.append(
            Row(
                key,
                float(outcomes[key].mean()),
                interval(outcomes[key]),
                over.difference,
                over.interval,
                by_seed=tuple(float(each) for each in outcomes[key].mean(axis=1)),
                **_costs(sampled, trained),
                **when_drawn(key),
            )
        )
    asked = [(SFT, FEW_SHOT)]
    for variant in ("tasks", "tokens"):
        rro = "rro/tasks"  # its own tokens are the budget of the other variant
        asked += [(rro, key) for key in keys if key.endswith(f"/{variant}") and key != rro and rro in keys]
    return Table(
        seeds=len(results),
        held_out=held_out,
        rows=tuple(rows),
        differences=tuple(difference(more, less) for more, less in asked if more in keys and less in keys),
        thirds=_thirds(results),
    )


def _costs(sampled: Sequence[Sampled | None], trained: Sequence[Trained | None]) -> dict[str, Any]:
    there = [each for each in sampled if each is not None]
    if not there:
        return {}
    steps = sum(each.steps for each in there)
    judged = [each for each in there if each.null is not None]
    over = sum(each.steps for each in judged)
    worth = [each.outcome for each in there if each.outcome is not None]
    learned = [each for each in trained if each is not None]
    used = [each.cpu_s for each in there] + [each.cpu_s for each in learned]
    known = [each for each in used if each is not None]
    return {
        "samples": sum(each.candidates for each in there) / steps if steps else None,
        # By step, as the samples are.
        "null": math.fsum((each.null or 0.0) * each.steps for each in judged) / over if over else None,
        "tasks": exact_mean([each.tasks for each in there]),
        "rollouts": exact_mean([each.rollouts for each in there]),
        "pairs": exact_mean([each.pairs for each in there]),
        "generated": exact_mean([each.generated for each in there]),
        "prompt": exact_mean([each.prompt for each in there]),
        "sampling_s": exact_mean([each.seconds for each in there]),
        "training_s": exact_mean([each.seconds for each in learned]) if learned else 0.0,
        "dpo_steps": exact_mean([each.steps for each in learned]) if learned else 0.0,
        "left_out": exact_mean([each.left_out for each in learned]) if learned else 0.0,
        "outcome": exact_mean(worth) if worth else None,
        "cpu_s": sum(known) / len(there) if len(known) == len(used) else None,
        "short": any(each.short for each in there),
        "failed": exact_mean([each.failed for each in there]),
    }


def _thirds(results: Sequence[SeedResult]) -> dict[str, Thirds]:
    found = {}
    for key in results[0].thirds:
        own = [result.thirds[key] for result in results if key in result.thirds]
        found[key] = Thirds(
            _mean_thirds([each.rising for each in own]), _mean_thirds([each.strictly for each in own])
        )
    return found


def _mean_thirds(
    shares: Sequence[tuple[float | None, float | None, float | None]],
) -> tuple[float | None, float | None, float | None]:
    first, middle, last = (
        exact_mean(there) if (there := [value for value in third if value is not None]) else None
        for third in zip(*shares, strict=True)
    )
    return first, middle, last


def _same(values: Sequence[T], what: str) -> T:
    if not values:
        raise ConfigError("there is no finished seed to analyse")
    if any(value != values[0] for value in values):
        raise ConfigError(f"the seeds are not of the same {what}; they are of two experiments")
    return values[0]
