"""Spending less without changing the answer: what a sampler may do, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rro_sdk.errors import ConfigError

Reuse = Literal["off", "unbiased", "economy"]

WORTH_A_DRAW = 0.5
"""A candidate is drawn ahead of its turn where it is more likely to be needed than not: below that most of
what is drawn ahead is waste, and the servers have other tasks to do."""


@dataclass(frozen=True, slots=True)
class Spending:
    """How rollouts are saved. All off draws everything, as the paper does.

    Attributes:
        early_decision: stop a candidate's rollouts where the decision is certain. The same pairs, baselines
            and step outcomes; estimates of candidates may have fewer than m outcomes.
        reuse: `unbiased` takes the first actions of the rollouts that scored the prefix as the step's
            candidates; `economy` takes their outcomes too, as one of the m each, and marks the step as
            correlated. Both draw from the policy; neither gives the same candidates as `off`. Of a candidate
            whose first outcome was shared `economy` knows no further action, so the step after it reuses
            nothing.
        speculate: while servers have room, draw ahead what may be needed. The same pairs; what was not needed
            is cancelled on the server and booked as speculative.

    Raises:
        ConfigError: an unknown `reuse`, or a switch that is neither true nor false.
    """

    early_decision: bool = False
    reuse: Reuse = "off"
    speculate: bool = False

    def __post_init__(self) -> None:
        for name in ("early_decision", "speculate"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"Spending {name} must be true or false, not {getattr(self, name)!r}")
        if self.reuse not in ("off", "unbiased", "economy"):
            raise ConfigError(f"Spending reuse must be off, unbiased or economy, not {self.reuse!r}")


class RiseRate:
    """How often a judged candidate ended its step, so far: what tells how far to draw ahead."""

    def __init__(self) -> None:
        # Two of three, as under the null at most success rates, until there is something better to go by.
        self._ended, self._judged = 2.0, 3.0

    def add(self, candidates: int, *, ended: bool) -> None:
        self._judged += candidates
        self._ended += ended

    def depth(self) -> int:
        """Candidates to draw ahead of the one that is being judged."""
        goes_on = 1.0 - self._ended / self._judged
        ahead, chance = 0, goes_on
        while chance >= WORTH_A_DRAW and ahead < 8:
            ahead, chance = ahead + 1, chance * goes_on
        return ahead
