"""What a method will cost and yield, before any money is spent: steps simulated with known true values.

The model of a step: its prefix has a true value v (the success rate of a rollout from there). Each candidate
has a true value of its own, drawn from Beta(k v, k (1 - v)): mean v, because a prefix is worth what its
policy's actions are worth on average. `spread` sets k: 0 is the null (every candidate exactly as good as the
prefix), 1 the widest (every candidate's value is 0 or 1). Outcomes are 0 or 1. The method's own code decides.
"""

from __future__ import annotations

import random

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.methods.base import Draw, Method, StepView
from rro_sdk.stats import wilson_interval
from rro_sdk.types import PREFIX_ACTION, Action, Candidate, Estimate, Observation, PairChoice


class Plan(msgspec.Struct, frozen=True):
    """Expectations per step, from `steps` simulated ones.

    Attributes:
        candidates_per_step: expected candidates.
        candidates_per_step_null: the same where every candidate is exactly as good as its prefix.
        rollouts_per_step: rollouts of the candidates. The prefix's own are not among them: under policy
            prefixes they are the last step's.
        pair_rate: share of steps that yield a pair.
        pairs_per_1000_rollouts: 1000 times pairs over the candidates' rollouts.
        pair_precision: share of pairs whose chosen side is truly better; None without pairs.
        pair_precision_interval: its 95 % Wilson interval over the simulated pairs.
        no_pair: share of steps without a pair, by reason.
    """

    success_rate: float
    spread: float
    steps: int
    candidates_per_step: float
    candidates_per_step_null: float
    rollouts_per_step: float
    pair_rate: float
    pairs_per_1000_rollouts: float
    pair_precision: float | None
    pair_precision_interval: tuple[float, float] | None
    no_pair: dict[str, float]


def plan(
    method: Method, *, success_rate: float, spread: float = 0.3, steps: int = 20_000, seed: int = 0
) -> Plan:
    """Simulate steps of a method.

    Args:
        method: what explores.
        success_rate: true value of the prefix, in [0, 1].
        spread: how much candidates differ, in [0, 1]: the share of the largest possible variance of their
            true values around the prefix's, 1 / (k + 1).
        steps: steps to simulate; the error of a rate is about 0.5 / sqrt(steps).
        seed: seed of the simulation.

    Raises:
        ConfigError: an argument out of its range.
    """
    for name, value in (("success_rate", success_rate), ("spread", spread)):
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"plan {name} must be in [0, 1], not {value}")
    if steps < 1:
        raise ConfigError(f"plan steps must be at least 1, not {steps}")
    rng = random.Random(seed)
    totals = _Totals()
    for _ in range(steps):
        totals.add(*_simulate_step(method, success_rate, spread, rng))
    null = _Totals()
    for _ in range(steps):
        null.add(*_simulate_step(method, success_rate, 0.0, rng))
    pairs = totals.right + totals.wrong + totals.equal
    return Plan(
        success_rate=success_rate,
        spread=spread,
        steps=steps,
        candidates_per_step=totals.candidates / steps,
        candidates_per_step_null=null.candidates / steps,
        rollouts_per_step=totals.rollouts / steps,
        pair_rate=pairs / steps,
        pairs_per_1000_rollouts=1000 * pairs / totals.rollouts,
        pair_precision=totals.right / pairs if pairs else None,
        pair_precision_interval=wilson_interval(totals.right, pairs) if pairs else None,
        no_pair={reason: count / steps for reason, count in sorted(totals.no_pair.items())},
    )


class _Totals:
    def __init__(self) -> None:
        self.candidates = self.rollouts = self.right = self.wrong = self.equal = 0
        self.no_pair: dict[str, int] = {}

    def add(self, view: StepView, values: dict[int, float], pair: PairChoice | str) -> None:
        self.candidates += len(view.candidates)
        drawn = [*view.candidates, *filter(None, [view.prefix_action])]
        self.rollouts += sum(len(candidate.estimate.outcomes) for candidate in drawn)
        if not isinstance(pair, PairChoice):
            self.no_pair[pair] = self.no_pair.get(pair, 0) + 1
        elif values[pair.chosen] > values[pair.rejected]:
            self.right += 1
        elif values[pair.chosen] < values[pair.rejected]:
            self.wrong += 1
        else:
            self.equal += 1


def _simulate_step(
    method: Method, success_rate: float, spread: float, rng: random.Random
) -> tuple[StepView, dict[int, float], PairChoice | str]:
    values: dict[int, float] = {}

    def estimate(value: float) -> Estimate:
        return Estimate(tuple(float(rng.random() < value) for _ in range(method.rollouts)))

    def draw(index: int) -> Candidate:
        values[index] = _candidate_value(success_rate, spread, rng)
        action = Action(str(index), str(index))  # no two alike: duplicates are the policy's business
        return Candidate(index, action, Observation(""), estimate(values[index]))

    view = StepView(
        baseline=estimate(success_rate),
        prefix_action=draw(PREFIX_ACTION) if method.keep_prefix_action else None,
    )
    while isinstance(method.decide(view), Draw):
        view = StepView(view.baseline, (*view.candidates, draw(len(view.candidates))), view.prefix_action)
    return view, values, method.pair(view)


def _candidate_value(success_rate: float, spread: float, rng: random.Random) -> float:
    if spread == 0.0 or success_rate in (0.0, 1.0):
        return success_rate
    if spread == 1.0:
        return float(rng.random() < success_rate)
    concentration = 1.0 / spread - 1.0
    return rng.betavariate(concentration * success_rate, concentration * (1.0 - success_rate))
