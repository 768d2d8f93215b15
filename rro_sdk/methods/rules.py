"""When a process reward counts as risen: the paper's rule and three that ask for more.

    paper           r_t >= r_{t-1}        Algorithm 1, line 20: greater or equal, so 0 rises over 0
    strict          r_t > r_{t-1}
    margin(d)       r_t >= r_{t-1} + d
    posterior(p)    P(true r_t >= true r_{t-1}) >= p under independent Beta posteriors on the counts

All are pure and frozen. The last three are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from rro_sdk.errors import ConfigError
from rro_sdk.methods._settings import is_number
from rro_sdk.stats import Belief, probability_at_least
from rro_sdk.types import Estimate


class Rule(Protocol):
    """Whether a candidate's estimate rises over the baseline's."""

    def rises(self, baseline: Estimate, candidate: Estimate) -> bool: ...


@dataclass(frozen=True, slots=True)
class Paper:
    """Greater or equal."""

    def rises(self, baseline: Estimate, candidate: Estimate) -> bool:
        return candidate.reward >= baseline.reward


@dataclass(frozen=True, slots=True)
class Strict:
    """Greater. A step whose baseline is 1 can never rise."""

    def rises(self, baseline: Estimate, candidate: Estimate) -> bool:
        return candidate.reward > baseline.reward


@dataclass(frozen=True, slots=True)
class Margin:
    """Greater by at least `d`, in (0, 1].

    Raises:
        ConfigError: `d` is no number in (0, 1].
    """

    d: float

    def __post_init__(self) -> None:
        if not is_number(self.d) or not 0.0 < self.d <= 1.0:
            raise ConfigError(f"Margin d must be in (0, 1], not {self.d!r}")

    def rises(self, baseline: Estimate, candidate: Estimate) -> bool:
        # 0.4 + 0.2 is more than 0.6 in floats; rewards differ by far more than this or not at all.
        return candidate.reward - baseline.reward >= self.d - 1e-9


@dataclass(frozen=True, slots=True)
class Posterior:
    """At least as good with probability `p`, given how few rollouts there were.

    Each estimate of n outcomes with sum S has a Beta(1 + S, 1 + n - S) posterior, which is exact for
    outcomes of 0 or 1 and an approximation for others. A candidate that ended the episode is known exactly.

    Raises:
        ConfigError: `p` is no number in (0, 1).
    """

    p: float

    def __post_init__(self) -> None:
        if not is_number(self.p) or not 0.0 < self.p < 1.0:
            raise ConfigError(f"Posterior p must be in (0, 1), not {self.p!r}")

    def rises(self, baseline: Estimate, candidate: Estimate) -> bool:
        return probability_at_least(_belief(candidate), _belief(baseline)) >= self.p


def _belief(estimate: Estimate) -> Belief:
    if estimate.terminal:
        return Belief.exactly(estimate.outcomes[0])
    return Belief.of_counts(math.fsum(estimate.outcomes), len(estimate.outcomes))  # in any order


def read_rule(text: str) -> Rule:
    """The rule that `paper`, `strict`, `margin(D)` or `posterior(P)` names.

    Raises:
        ConfigError: it names none, or its number is out of range.
    """
    if text in ("paper", "strict"):
        return Paper() if text == "paper" else Strict()
    name, _, number = text.partition("(")
    try:
        value = float(number.removesuffix(")"))
    except ValueError:
        name, value = "", 0.0
    if name == "margin":
        return Margin(value)
    if name == "posterior":
        return Posterior(value)
    raise ConfigError(f"no rule is called {text!r}; use paper, strict, margin(D) or posterior(P)")
