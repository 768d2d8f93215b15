"""How far the null of a run's candidates per step is to be trusted, at a small m.

    python -m benchmarks.null --rounds 5

The null is computed from the run's own outcomes, prefix by prefix, and a prefix with m outcomes of its own is
known roughly. Here every candidate is exactly as good as its prefix, so a run draws what its true null is;
beside it stands the null that the run would report. The rule is the paper's (>=), the cap 5. What is drawn at
one success rate for all is known exactly, and checks the simulation.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable

from benchmarks._harness import Metric, finish, median_and_spread
from rro_sdk._nulls import candidates_null, candidates_null_binary

CAP = 5

Rates = Callable[[random.Random], float]
"""Draws the success rate of a prefix."""


def _one(rate: float) -> Rates:
    return lambda rng: rate


def _beta(shape: float) -> Rates:
    return lambda rng: rng.betavariate(shape, shape)


CASES: dict[str, tuple[int, Rates]] = {
    **{f"m = {m}, p = {p}": (m, _one(p)) for m in (3, 5) for p in (0.1, 0.5, 0.9)},
    **{f"m = {m}, p of Beta({a:g}, {a:g})": (m, _beta(a)) for m in (3, 5, 20) for a in (0.2, 1.0)},
}


def run_of(rng: random.Random, m: int, rates: Rates, steps: int) -> tuple[float, float]:
    """Candidates a step that a run under the null draws, and the null that it would report."""
    drawn, pools = 0, []
    for _ in range(steps):
        rate = rates(rng)

        def estimate(rate: float = rate) -> list[float]:
            return [float(rng.random() < rate) for _ in range(m)]

        seen = [estimate()]
        while len(seen) < 2 or (sum(seen[-1]) < sum(seen[0]) and len(seen) <= CAP):
            seen.append(estimate())
        drawn += len(seen) - 1
        pools.append([outcome for each in seen for outcome in each])
    reported = candidates_null(pools, m, CAP)
    assert reported is not None
    return drawn / steps, reported


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.null", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each case")
    parser.add_argument("--steps", type=int, default=4000, help="steps of a run")
    given = parser.parse_args(arguments)
    metrics: list[Metric] = []
    low: list[float] = []
    for number, (name, (m, rates)) in enumerate(CASES.items()):
        rng = random.Random(number)
        runs = [run_of(rng, m, rates, given.steps) for _ in range(given.rounds)]
        drawn, drawn_spread = median_and_spread([each[0] for each in runs])
        told, told_spread = median_and_spread([each[1] for each in runs])
        below, below_spread = median_and_spread([each[0] - each[1] for each in runs])
        low.append(below)
        exact = f"; exactly {candidates_null_binary(rates(rng), m, CAP):.3f}" if "p = " in name else ""
        metrics += [
            Metric(f"{name}: drawn", drawn, "", spread=drawn_spread, note=f"the true null{exact}"),
            Metric(f"{name}: null reported", told, "", spread=told_spread),
            Metric(f"{name}: reported too low by", below, "", spread=below_spread),
        ]
    line = f"the reported null is too low by {min(low):.2f} to {max(low):.2f}"
    return finish("null", metrics, line, settings={"rounds": given.rounds, "steps": given.steps, "cap": CAP})


if __name__ == "__main__":
    sys.exit(main())
