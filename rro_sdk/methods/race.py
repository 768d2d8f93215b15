"""What must be known next at a step: a pure state machine between a method and whoever draws.

Without early decision every candidate gets its m rollouts before it is judged. With it, only what a
decision needs is asked for. Outcomes lie in [0, 1], so after k of m the reward lies between what zeros and
what ones for the rest would make it; a question is settled when both give the same answer, and the rest need
not run:

1. the trajectory's own action keeps all m under policy prefixes, for it is the next step's baseline;
2. `decide` is settled when it says the same with the incomplete candidates at their lowest and at their
   highest; it must not fall as an estimate rises, which holds for the rising rules and for methods that judge
   nothing;
3. the pair is settled when the intervals tell which candidate is best, which is worst, and that they differ;
4. under `chosen` prefixes the best one gets all m, for it is the next step's baseline.

A method that hints (`HintingMethod`) has its candidates drawn one after the other, and is never decided
early: a hint shows what the earlier ones are worth, which must not depend on how far anybody looked.

Outcomes count in the order of their rollouts, never of their arrival, and what is asked for is a function of
what is known: so what is recorded does not depend on time. Pairs, baselines and step outcomes are those of
drawing everything (tested as a property).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.methods.base import Decision, Draw, Method, StepView, Stop, what_was_said
from rro_sdk.types import PREFIX_ACTION, Action, Candidate, Estimate, Message, Observation, StepOutcome

BASELINE = -2
"""Index under which the prefix's own outcomes are asked for."""


class EarlyMethod(Method, Protocol):
    """A method that can be decided early: `decide` is monotone (2 above), `pair` is best against worst."""

    def pool(self, view: StepView) -> tuple[Candidate, ...]:
        """The candidates among which `pair` looks for best and worst, in the order that breaks ties."""
        ...


class Need(msgspec.Struct, frozen=True):
    """What to find out before anything can be decided.

    Attributes:
        draws: candidates to draw, by index; `PREFIX_ACTION` for the trajectory's own action.
        outcomes: how many outcomes must be known, from the first on, by index of candidate or `BASELINE`.
        hints: what is added to the history for a draw, by index; most have none.
    """

    draws: tuple[int, ...] = ()
    outcomes: dict[int, int] = {}
    hints: dict[int, tuple[Message, ...]] = {}


class Settled(msgspec.Struct, frozen=True):
    """The step is decided.

    Attributes:
        view: all that was drawn, with the outcomes that were asked for.
        completed: the same with every missing outcome at 0, which is what the method is to be asked about.
        outcome: how the step ended.
    """

    view: StepView
    completed: StepView
    outcome: StepOutcome


@dataclass(slots=True)
class _Drawn:
    index: int
    action: Action
    observation: Observation
    twin: int | None
    outcomes: tuple[float, ...] = ()
    terminal: bool = False
    whole: Candidate | None = None


@dataclass(slots=True)
class StepRace:
    """One step. Tell it what was found with `drew` and `learned`, ask it with `need`.

    Args:
        method: decides.
        baseline: process reward of the prefix, where it is known already.
        early: decide as soon as the answer is certain, where the method allows it.
        baseline_first: know the baseline before anything is drawn.

    Attributes:
        hints: the method hints; nothing may be drawn ahead of what is asked for.
    """

    method: Method
    baseline: Estimate | None
    early: bool = False
    baseline_first: bool = False
    _drawn: dict[int, _Drawn] = field(default_factory=dict)
    _passed: int = 0
    _guessing: bool = False
    _hint: tuple[Message, ...] = ()
    hints: bool = field(init=False)

    def __post_init__(self) -> None:
        self.hints = getattr(self.method, "hints", False)
        self.early = self.early and not self.hints and hasattr(self.method, "pool")

    def drew(self, index: int, action: Action, observation: Observation) -> None:
        """A candidate was drawn and run. Candidates must be told in the order of their indices."""
        twin = None
        for other in self._drawn.values():
            # The trajectory's own action is no candidate, so none takes its estimate.
            same = (other.action.text, other.observation.text) == (action.text, observation.text)
            if same and other.index != PREFIX_ACTION:
                twin = other.index if other.twin is None else other.twin
                break
        drawn = _Drawn(index, action, observation, twin)
        if observation.outcome is not None:
            drawn.outcomes, drawn.terminal = (observation.outcome,), True
        self._drawn[index] = drawn

    def learned(self, index: int, outcomes: Sequence[float]) -> None:
        """The first outcomes of a candidate, or of `BASELINE`, in rollout order: all that were asked for."""
        if index == BASELINE:
            self.baseline = Estimate(tuple(outcomes))
        else:
            self._drawn[index].outcomes = tuple(outcomes)

    def need(self) -> Need | Settled:
        """What must be known next."""
        method = self.method
        certain = [PREFIX_ACTION] if method.keep_prefix_action else []
        certain += range(0 if self.hints else method.min_candidates)
        missing = tuple(index for index in certain if index not in self._drawn)
        self._hold_to_cap(max(missing, default=0))
        start = {BASELINE: method.rollouts} if self.baseline is None else {}
        if start and self.baseline_first:
            return Need(outcomes=start)
        if missing or start:
            return Need(missing, start)
        if owed := self._full():
            return Need(outcomes=owed)
        return self._judge()

    def _full(self) -> dict[int, int]:
        """Estimates that need all their outcomes, whatever comes."""
        everyone = list(self._drawn.values())
        if self.early:
            own = PREFIX_ACTION if self.method.keep_prefix_action else 0
            everyone = [each for each in everyone if each.index == own and self.method.prefix == "policy"]
        return {
            root.index: self.method.rollouts
            for root in map(self._root, everyone)
            if not root.terminal and len(root.outcomes) < self.method.rollouts
        }

    def _judge(self) -> Need | Settled:
        count = len(self._drawn) - (PREFIX_ACTION in self._drawn)
        for judged in range(self._passed, count + 1):
            unsure = [
                drawn
                for drawn in (self._drawn[index] for index in range(judged))
                if not self._is_complete(drawn)
            ]
            decision = self.method.decide(self._view(judged, 0.0))
            if unsure and decision != self.method.decide(self._view(judged, 1.0)):
                root = self._pivot(unsure, judged, decision)
                return Need(outcomes={root.index: len(root.outcomes) + self._least(root, judged)})
            if isinstance(decision, Stop):
                if not judged:
                    raise ConfigError(
                        f"method {self.method.name} stops a step without any candidate; let its decide return"
                        " Draw() for a view that has none"
                    )
                if owed := self._contest(judged) or self._unseen(judged):
                    return Need(outcomes=owed)
                view = self._view(judged, None)
                return Settled(view, self._view(judged, 0.0) if unsure else view, decision.outcome)
            assert isinstance(decision, Draw)
            if decision.hint and not self.hints:
                raise ConfigError(f"method {self.method.name} hints at a draw; give its class hints = True")
            self._passed, self._hint = judged + 1, decision.hint  # settled, whatever is still to come
        self._hold_to_cap(count)
        return Need((count,), hints={count: self._hint} if self._hint else {})

    def _hold_to_cap(self, index: int) -> None:
        if index >= (most := self.method.max_candidates):
            raise ConfigError(
                f"method {self.method.name} asks for candidate {index + 1} of a step, and its max_candidates"
                f" is {most}; let it stop there, or raise max_candidates"
            )

    def _pivot(self, unsure: Sequence[_Drawn], judged: int, lowest: Decision) -> _Drawn:
        """The candidate on which the decision turns: with it alone at its highest it is another one."""
        for drawn in unsure:
            root = self._root(drawn)
            if self.method.decide(self._view(judged, 0.0, highest=root)) != lowest:
                return root
        return self._root(unsure[0])

    def _least(self, root: _Drawn, judged: int) -> int:
        """The fewest outcomes after which the decision may no longer turn on a candidate."""
        rest = self.method.rollouts - len(root.outcomes)
        known, self._guessing = root.outcomes, True
        try:
            for more in range(1, rest):
                for value in (0.0, 1.0):
                    root.outcomes = (*known, *[value] * more)
                    if self.method.decide(self._view(judged, 0.0)) == self.method.decide(
                        self._view(judged, 0.0, highest=root)
                    ):
                        return more
        finally:
            root.outcomes, self._guessing = known, False
        return rest

    def _contest(self, judged: int) -> dict[int, int]:
        """Outcomes still needed to tell best from worst; empty when that is settled."""
        if not self.early:
            return {}
        method = cast(EarlyMethod, self.method)
        lowest, highest = self._view(judged, 0.0), self._view(judged, 1.0)
        pool, tops = what_was_said(method.pool(lowest)), what_was_said(method.pool(highest))
        owed: set[int] = set()
        if len(pool) > 1:
            best, rivals = self._ahead(pool, tops)
            worst, lesser = self._ahead(tops, pool, sign=-1)
            owed |= {best.index, *rivals} if rivals else set()
            owed |= {worst.index, *lesser} if lesser else set()
            if not owed and best.reward <= worst.reward:
                owed = {best.index, worst.index}  # who they are is known, and whether they differ is not
        if method.prefix == "chosen":  # the trajectory goes on with the best of all, in the pool or not
            best, rivals = self._ahead(lowest.candidates, highest.candidates)
            owed |= {best.index, *rivals} if rivals else set()
        roots = {root.index: root for root in (self._root(self._drawn[index]) for index in owed)}
        short = {
            index: len(root.outcomes) + 1
            for index, root in sorted(roots.items())
            if not self._is_complete(root)
        }
        if method.prefix == "chosen" and not short:
            ahead = self._root(self._drawn[best.index])  # whose estimate is the next step's baseline
            return {} if self._is_complete(ahead) else {ahead.index: method.rollouts}
        return short

    def _ahead(
        self, settled: Sequence[Candidate], hoped: Sequence[Candidate], *, sign: int = 1
    ) -> tuple[Candidate, set[int]]:
        """The best of the candidates as they are at worst, and the indices of what may yet be it instead.

        Args:
            settled: candidates in the order that breaks ties, missing outcomes where they help least: at 0.
            hoped: the same, missing outcomes where they help most: at 1.
            sign: -1 for the worst of them, for which 1 helps least and 0 most.
        """
        at = max(range(len(settled)), key=lambda place: sign * settled[place].reward)
        first = settled[at]
        own, least = self._root(self._drawn[first.index]), sign * first.reward
        return first, {
            each.index
            for place, each in enumerate(hoped)
            if self._root(self._drawn[each.index]) is not own
            and (least <= sign * each.reward if place < at else least < sign * each.reward)
        }

    def _unseen(self, judged: int) -> dict[int, int]:
        """Candidates of which nothing is known: an estimate has one outcome at least."""
        roots = (self._root(self._drawn[index]) for index in range(judged))
        return {root.index: 1 for root in roots if not root.outcomes}

    def _root(self, drawn: _Drawn) -> _Drawn:
        """Whose estimate a candidate has: its own, or that of the earlier equal one (rule 9)."""
        return self._drawn[
            _scored_as(drawn.index, drawn.twin, drawn.terminal, self.method.reestimate_duplicates)
        ]

    def _is_complete(self, drawn: _Drawn) -> bool:
        root = self._root(drawn)
        return root.terminal or len(root.outcomes) >= self.method.rollouts

    def _short(self, known: Sequence[float]) -> int:
        """Outcomes that are still to come."""
        return self.method.rollouts - len(known)

    def _view(self, judged: int, missing: float | None, highest: _Drawn | None = None) -> StepView:
        """The first candidates, with their missing outcomes at a value (but one's at 1), or left out."""
        assert self.baseline is not None
        own = self._drawn.get(PREFIX_ACTION)
        return StepView(
            self.baseline,
            tuple(
                self._candidate(
                    drawn, 1.0 if highest is not None and self._root(drawn) is highest else missing
                )
                for drawn in map(self._drawn.__getitem__, range(judged))
            ),
            self._candidate(own, missing) if own is not None else None,
        )

    def _candidate(self, drawn: _Drawn, missing: float | None) -> Candidate:
        if drawn.whole is not None:
            return drawn.whole
        root, planned = self._root(drawn), self.method.rollouts
        short = 0 if root.terminal else self._short(root.outcomes)
        if missing is None:
            estimate = Estimate(root.outcomes, root.terminal, planned if short else 0)
        else:
            estimate = Estimate((*root.outcomes, *[missing] * short), root.terminal)
        found = Candidate(drawn.index, drawn.action, drawn.observation, estimate, drawn.twin)
        if self._is_complete(drawn) and not self._guessing:
            drawn.whole = found
        return found


def scored_as(candidate: Candidate, reestimated: bool) -> int:
    """Index of whose rollouts a candidate's estimate is: its own, or the earlier equal one's (rule 9).

    Args:
        candidate: whose estimate.
        reestimated: the method's `reestimate_duplicates`.
    """
    return _scored_as(candidate.index, candidate.duplicate_of, candidate.estimate.terminal, reestimated)


def _scored_as(index: int, twin: int | None, terminal: bool, reestimated: bool) -> int:
    return index if twin is None or terminal or reestimated else twin


__all__ = ["BASELINE", "EarlyMethod", "Need", "Settled", "StepRace", "scored_as"]
