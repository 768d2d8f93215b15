"""What a method is: pure decisions over what was drawn at one step.

A method of your own is a frozen dataclass with the three settings below and two functions, `decide`
and `pair`; the sampler does the rest.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from rro_sdk.types import PREFIX_ACTION, Candidate, Estimate, NoPairReason, PairChoice, StepOutcome

PrefixMode = Literal["policy", "chosen"]


class StepView(msgspec.Struct, frozen=True):
    """What a method sees of a step.

    Attributes:
        baseline: process reward of the prefix, r_{t-1}.
        candidates: those drawn and judged so far, in the order in which they were drawn.
        prefix_action: the trajectory's own action where the method keeps it apart, else None.
    """

    baseline: Estimate
    candidates: tuple[Candidate, ...] = ()
    prefix_action: Candidate | None = None


class Draw(msgspec.Struct, frozen=True):
    """Draw one more candidate."""


class Stop(msgspec.Struct, frozen=True):
    """This step is explored."""

    outcome: StepOutcome


Decision = Draw | Stop


class Method(Protocol):
    """How a step is explored and what it yields.

    Attributes:
        name: short name, kept in the run's header.
        rollouts: m, rollouts per estimate.
        max_candidates: cap on candidates per step.
        min_candidates: fewest candidates that a step draws; the null of their mean needs it.
        prefix: with which candidate the trajectory goes on (rule 6).
        keep_prefix_action: the trajectory's own action is drawn apart from the candidates.
        reestimate_duplicates: spend rollouts on a candidate equal to an earlier one (rule 9).
    """

    @property
    def name(self) -> str: ...
    @property
    def rollouts(self) -> int: ...
    @property
    def max_candidates(self) -> int: ...
    @property
    def min_candidates(self) -> int: ...
    @property
    def prefix(self) -> PrefixMode: ...
    @property
    def keep_prefix_action(self) -> bool: ...
    @property
    def reestimate_duplicates(self) -> bool: ...

    def decide(self, view: StepView) -> Decision:
        """What to do next, given all that was drawn. Pure; called after every candidate."""
        ...

    def pair(self, view: StepView) -> PairChoice | NoPairReason:
        """The preference pair of a finished step, or why there is none. Pure."""
        ...


def best_against_worst(candidates: tuple[Candidate, ...]) -> PairChoice | NoPairReason:
    """Algorithm 1's pair: arg max against arg min, ties to the earliest (rules 4 and 5)."""
    if len(candidates) < 2:
        return "single_candidate"
    chosen = max(candidates, key=lambda candidate: candidate.reward)  # max and min keep the earliest
    rejected = min(candidates, key=lambda candidate: candidate.reward)
    if chosen.reward == rejected.reward:
        return "equal_rewards"
    if chosen.action.text == rejected.action.text:
        return "same_action"
    return PairChoice(chosen=chosen.index, rejected=rejected.index)


def advance(view: StepView, mode: PrefixMode) -> Candidate:
    """The candidate with which the trajectory goes on (rule 6).

    `policy`: its own action, which is the first candidate unless it was kept apart. `chosen`: the best one.
    """
    if mode == "policy":
        return view.prefix_action or view.candidates[0]
    return max(view.candidates, key=lambda candidate: candidate.reward)


__all__ = [
    "PREFIX_ACTION",
    "Decision",
    "Draw",
    "Method",
    "PrefixMode",
    "StepView",
    "Stop",
    "advance",
    "best_against_worst",
]
