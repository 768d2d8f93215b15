"""How far the null of a run's candidates per step is to be trusted, at a small m.

    python -m benchmarks.null --rounds 5

The null is computed from the run's own outcomes, and a prefix with m outcomes of its own is known roughly.
Here every candidate is exactly as good as its prefix, so a run draws what its true null is. Beside it stand
the null that the run reports, and what it would be at the success rates as they were seen. The rule is the
paper's (>=), the cap 5.
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


def run_of(rng: random.Random, m: int, rates: Rates, steps: int) -> tuple[float, float, float]:
    """Candidates a step that a run under the null draws, its null, and the null at the rates seen."""
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
    seen_rates = [candidates_null_binary(sum(pool) / len(pool), m, CAP) for pool in pools]
    return drawn / steps, reported, sum(seen_rates) / steps


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.null", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each case")
    parser.add_argument("--steps", type=int, default=4000, help="steps of a run")
    given = parser.parse_args(arguments)
    metrics: list[Metric] = []
    off: dict[str, list[float]] = {"reported null": [], "null at the rates seen": []}
    for number, (name, (m, rates)) in enumerate(CASES.items()):
        rng = random.Random(number)
        runs = [run_of(rng, m, rates, given.steps) for _ in range(given.rounds)]
        drawn, spread = median_and_spread([each[0] for each in runs])
        metrics.append(Metric(f"{name}: drawn", drawn, spread=spread))
        for place, what in enumerate(off, 1):
            value, spread = median_and_spread([each[place] for each in runs])
            metrics.append(Metric(f"{name}: {what}", value, spread=spread))
            off[what].append(value - drawn)
    said = ", ".join(f"the {what} by {min(each):+.2f} to {max(each):+.2f}" for what, each in off.items())
    line = f"off what is drawn is {said}"
    return finish("null", metrics, line, settings={"rounds": given.rounds, "steps": given.steps, "cap": CAP})


if __name__ == "__main__":
    sys.exit(main())
