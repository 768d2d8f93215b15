"""Early decision changes nothing but the bill (semantics, "Lossless early decision")."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.checking import check
from rro_sdk.errors import ConfigError
from rro_sdk.methods import FixedSize, Margin, Paper, Posterior, RisingReward, SEAgent, Strict, Widening
from rro_sdk.methods.base import (
    Decision,
    Draw,
    Method,
    StepMethod,
    StepView,
    Stop,
    advance,
    best_against_worst,
)
from rro_sdk.methods.race import BASELINE, Need, Settled, StepRace
from rro_sdk.sampler import Sampler
from rro_sdk.types import (
    HISTORY_FULL,
    PREFIX_ACTION,
    Action,
    Candidate,
    Estimate,
    Message,
    NoPairReason,
    Observation,
    PairChoice,
    StepRecord,
    Task,
)
from tests.toys import ScriptedPolicy, ToyEnv

RULES = (Paper(), Strict(), Margin(0.2), Posterior(0.6))


@dataclass(frozen=True)
class World:
    """Everything that could be drawn at a step, written down beforehand.

    Attributes:
        baseline: the prefix's outcomes.
        texts: action of each candidate; equal texts are duplicates.
        outcomes: of each candidate's rollouts.
        ends: what a candidate that ends the episode scores, else None.
    """

    baseline: tuple[float, ...]
    texts: dict[int, str]
    outcomes: dict[int, tuple[float, ...]]
    ends: dict[int, float | None]


@dataclass
class Found:
    settled: Settled
    pair: PairChoice | NoPairReason
    rollouts: int

    def essence(self, method: Method) -> object:
        """All that must not depend on early decision."""
        view = self.settled.view
        went_on = next(
            each
            for each in (*view.candidates, view.prefix_action)
            if each is not None and each.index == advance(self.settled.completed, method.prefix).index
        )
        return (
            self.pair,
            self.settled.outcome,
            len(view.candidates),
            view.baseline,
            went_on.index,
            None if went_on.estimate.terminal else went_on.estimate,
        )


def play(method: Method, world: World, race: StepRace) -> Found:
    """Answer a race from the world, as a sampler would."""
    rollouts = 0
    while isinstance(need := race.need(), Need):
        assert need.draws or need.outcomes, "a need that asks for nothing would never end"
        for index in need.draws:
            ended = world.ends[index]
            observation = Observation("x") if ended is None else Observation("x", done=True, outcome=ended)
            race.drew(index, Action(world.texts[index], "c"), observation)
        for index, count in need.outcomes.items():
            known = world.baseline if index == BASELINE else world.outcomes[index]
            assert 1 <= count <= method.rollouts
            race.learned(index, known[:count])
    view = need.view
    for each in (*view.candidates, view.prefix_action):
        if each is not None and not each.estimate.terminal and each.duplicate_of is None:
            rollouts += len(each.estimate.outcomes)
    return Found(need, method.pair(need.completed), rollouts)


def make_world(rng: random.Random, rollouts: int) -> World:
    """Binary, dense and adversarial outcomes: ties, near ties, and all the same."""
    kind = rng.randrange(4)

    def outcome(value: float) -> float:
        if kind == 0:
            return float(rng.random() < value)
        if kind == 1:
            return round(rng.random() * value, 2)
        if kind == 2:
            return rng.choice((0.0, 0.1, 0.2, 0.3, 1 / 3, 0.5, 1.0))
        return rng.choice((value, value, 1.0 - value))

    def several() -> tuple[float, ...]:
        value = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0, rng.random()))
        return tuple(outcome(value) for _ in range(rollouts))

    indices = range(PREFIX_ACTION, 6)
    return World(
        baseline=several(),
        texts={index: rng.choice("abcdefgh") for index in indices},
        outcomes={index: several() for index in indices},
        ends={index: outcome(0.5) if rng.random() < 0.1 else None for index in indices},
    )


@dataclass(frozen=True)
class Later(FixedSize):
    """Pairs all but the first candidate, with which the trajectory may go on all the same."""

    def pool(self, view: StepView) -> tuple[Candidate, ...]:
        return view.candidates[1:]

    def pair(self, view: StepView) -> PairChoice | NoPairReason:
        return best_against_worst(self.pool(view))


def make_method(rng: random.Random) -> Method:
    rollouts, most = rng.randint(1, 10), rng.randint(1, 5)
    again = rng.random() < 0.2
    if rng.random() < 0.1:
        return Later(rollouts, most, rng.choice(("policy", "chosen")), again)  # type: ignore[arg-type]
    if rng.random() < 0.2:
        prefix = rng.choice(("policy", "chosen"))
        return FixedSize(rollouts, most, prefix=prefix, reestimate_duplicates=again)  # type: ignore[arg-type]
    if rng.random() < 0.25:
        return Widening(
            rollouts,
            most,
            rng.choice(("policy", "chosen")),  # type: ignore[arg-type]
            again,
            first=rng.randint(1, most),
            rule=rng.choice(RULES),
        )
    first = rng.choice(("skip", "second", "prefix_action"))
    prefix = "policy" if first == "prefix_action" else rng.choice(("policy", "chosen"))
    return RisingReward(
        rollouts,
        most,
        on_first_rise=first,  # type: ignore[arg-type]
        prefix=prefix,  # type: ignore[arg-type]
        rule=rng.choice(RULES),
        reestimate_duplicates=again,
    )


def cases(seed: int, count: int, race: type[StepRace] = StepRace) -> tuple[int, int]:
    """Compare early decision with drawing everything; rollouts of either."""
    rng, early, all_of_them = random.Random(seed), 0, 0
    for _ in range(count):
        method = make_method(rng)
        world = make_world(rng, method.rollouts)
        baseline = Estimate(world.baseline) if rng.random() < 0.5 else None
        some = play(method, world, race(method, baseline, early=True))
        every = play(method, world, StepRace(method, baseline))
        assert some.essence(method) == every.essence(method), (method, world)
        assert some.rollouts <= every.rollouts
        early, all_of_them = early + some.rollouts, all_of_them + every.rollouts
    return early, all_of_them


WORLDS = 100 if os.environ.get("RRO_CHAOS") == "full" else 15
"""Times a thousand cases; a hundred thousand in `make chaos`."""


@settings(max_examples=WORLDS, deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_pairs_baselines_and_outcomes_as_drawing_everything(seed: int) -> None:
    cases(seed, 1_000)


def test_and_fewer_rollouts() -> None:
    early, all_of_them = cases(1, 2_000)
    assert early < all_of_them


class OffByOne(StepRace):
    """Believes that one outcome fewer is to come than really is."""

    def _short(self, known: Sequence[float]) -> int:
        return max(0 if known else 1, super()._short(known) - 1)


def test_the_property_would_catch_an_off_by_one_in_the_bounds() -> None:
    with pytest.raises(AssertionError):
        cases(0, 1_000, OffByOne)


def candidate(index: int, *outcomes: float) -> Candidate:
    return Candidate(index, Action(str(index), "c"), Observation("x"), Estimate(outcomes))


def test_by_hand_a_failing_candidate_stops_when_it_cannot_rise_any_more() -> None:
    """Baseline 3/5: three failures settle it, and after one the rest could still make it 4/5."""
    method = RisingReward(rollouts=5, prefix="chosen")
    race = StepRace(method, Estimate((1.0, 1.0, 1.0, 0.0, 0.0)), early=True)
    assert race.need() == Need((0,))
    race.drew(0, Action("a", "c"), Observation("x"))
    assert race.need() == Need(outcomes={0: 3}), "three of a kind either way"
    race.learned(0, (0.0, 0.0, 0.0))
    assert race.need() == Need((1,))
    race.drew(1, Action("b", "c"), Observation("x"))
    assert race.need() == Need(outcomes={1: 3})
    race.learned(1, (1.0, 0.0, 1.0))
    assert race.need() == Need(outcomes={1: 4})
    race.learned(1, (1.0, 0.0, 1.0, 1.0))
    # It rises, and as it is chosen it is the next baseline: all five.
    assert race.need() == Need(outcomes={1: 5})
    race.learned(1, (1.0, 0.0, 1.0, 1.0, 0.0))
    settled = race.need()
    assert isinstance(settled, Settled)
    assert settled.outcome == "risen"
    assert settled.view.candidates[0].estimate == Estimate((0.0, 0.0, 0.0), planned=5)
    assert (settled.view.candidates[0].estimate.lowest, settled.view.candidates[0].estimate.highest) == (
        0,
        0.4,
    )
    assert method.pair(settled.completed) == PairChoice(chosen=1, rejected=0)


def test_by_hand_the_worst_of_two_failures_is_told_apart_only_as_far_as_needed() -> None:
    method = RisingReward(rollouts=5, max_candidates=2)
    race = StepRace(method, Estimate((1.0,) * 5), early=True)
    assert race.need() == Need((0,))
    race.drew(0, Action("a", "c"), Observation("x"))
    assert race.need() == Need(outcomes={0: 5}), "its own action is the next baseline"
    race.learned(0, (1.0, 1.0, 1.0, 1.0, 0.0))
    race.need()
    race.drew(1, Action("b", "c"), Observation("x"))
    assert race.need() == Need(outcomes={1: 1}), "one failure is enough to fall short of 1"
    race.learned(1, (0.0,))
    # It may still come to 4/5, which would be a tie and no pair.
    assert race.need() == Need(outcomes={1: 2})
    race.learned(1, (0.0, 0.0))
    settled = race.need()
    assert isinstance(settled, Settled)
    assert (settled.outcome, method.pair(settled.completed)) == ("exhausted", PairChoice(0, 1))


def test_by_hand_what_could_not_be_said_is_neither_best_nor_worst() -> None:
    """Candidate 1 ended with 0, but no pair has it: it must be known whether 2 is worth less than 0."""
    method = FixedSize(rollouts=2, max_candidates=3)
    race = StepRace(method, Estimate((1.0, 1.0)), early=True)
    race.drew(0, Action("a", "c"), Observation("x"))
    race.drew(1, Action("", None, HISTORY_FULL), Observation(HISTORY_FULL, True, 0.0, truncated=True))
    race.drew(2, Action("b", "c"), Observation("x"))
    race.learned(0, (1.0, 1.0))
    race.learned(2, (1.0,))
    assert race.need() == Need(outcomes={2: 2})
    race.learned(2, (1.0, 1.0))
    settled = race.need()
    assert isinstance(settled, Settled)
    assert method.pair(settled.completed) == "equal_rewards"


def test_by_hand_widening_asks_of_its_first_stage_only_what_tells_whether_any_rises() -> None:
    """Baseline 2/3, two in the first stage: three of three settle the second, whatever the first comes to."""
    method = Widening(rollouts=3, max_candidates=4, prefix="chosen", first=2)
    race = StepRace(method, Estimate((1.0, 1.0, 0.0)), early=True)
    assert race.need() == Need((0, 1)), "both are drawn anyway"
    for index in (0, 1):
        race.drew(index, Action(str(index), "c"), Observation("x"))
    assert race.need() == Need(outcomes={0: 2}), "two of a kind tell whether it rises"
    race.learned(0, (0.0, 0.0))
    assert race.need() == Need(outcomes={1: 2})
    race.learned(1, (1.0, 1.0))
    # Risen, and the second one is ahead of the first one's 1/3 at most; as the next baseline it gets all.
    assert race.need() == Need(outcomes={1: 3})
    race.learned(1, (1.0, 1.0, 0.0))
    settled = race.need()
    assert isinstance(settled, Settled)
    assert (settled.outcome, method.pair(settled.completed)) == ("risen", PairChoice(chosen=1, rejected=0))


def test_a_method_that_hints_is_asked_before_every_draw_and_never_decided_early() -> None:
    race = StepRace(SEAgent(FixedSize(rollouts=2, max_candidates=3)), None, early=True)
    assert race.need() == Need(outcomes={BASELINE: 2}), "a hint may depend on the baseline"
    race.learned(BASELINE, (0.0, 1.0))
    assert race.need() == Need((0,))
    race.drew(0, Action("a", "c"), Observation("x"))
    assert race.need() == Need(outcomes={0: 2})
    race.learned(0, (0.0, 0.0))
    need = race.need()
    assert isinstance(need, Need)
    assert need.draws == (1,), "one at a time, though three are certain"
    assert set(need.hints) == {1}
    assert race.need() == need, "asked again, it is the same"


def test_a_method_of_ones_own_may_hint() -> None:
    @dataclass(frozen=True)
    class Telling(StepMethod):
        hints = True

        def decide(self, view: StepView) -> Decision:
            told = (Message("user", f"you said {view.candidates[0].action.text}"),) if view.candidates else ()
            return Draw(told) if len(view.candidates) < 2 else Stop("complete")

        def pair(self, view: StepView) -> PairChoice | NoPairReason:
            return best_against_worst(view.candidates)

    race = StepRace(Telling(rollouts=1), Estimate((1.0,)))
    assert race.need() == Need((0,))
    race.drew(0, Action("a", "c"), Observation("x", done=True, outcome=0.0))
    assert race.need() == Need((1,), hints={1: (Message("user", "you said a"),)})
    race.drew(1, Action("b", "c"), Observation("x", done=True, outcome=1.0))
    assert isinstance(race.need(), Settled)


def test_a_hint_of_a_method_that_does_not_say_that_it_hints_is_an_error() -> None:
    class Sly(FixedSize):
        def decide(self, view: StepView) -> Decision:
            return Draw((Message("user", "psst"),))

    race = StepRace(Sly(rollouts=1), Estimate((1.0,)))
    for index in range(5):
        race.drew(index, Action(str(index), "c"), Observation("x"))
        race.learned(index, (0.0,))
    with pytest.raises(ConfigError, match="hints = True"):
        race.need()


def test_a_method_of_ones_own_is_decided_on_all_its_rollouts() -> None:
    class Own:
        name, rollouts, max_candidates, min_candidates = "own", 3, 2, 1
        prefix, keep_prefix_action, reestimate_duplicates = "policy", False, False
        decide, pair = FixedSize.decide, FixedSize.pair

    race = StepRace(Own(), Estimate((1.0,)), early=True)  # type: ignore[arg-type]
    assert not race.early


@dataclass(frozen=True)
class Own(StepMethod):
    """Stops after so many candidates, and pairs what it is told to."""

    stops_at: int = 2
    pairs: tuple[int, int] = (0, 1)

    def decide(self, view: StepView) -> Decision:
        return Draw() if len(view.candidates) < self.stops_at else Stop("complete")

    def pair(self, view: StepView) -> PairChoice | NoPairReason:
        return PairChoice(*self.pairs)


@pytest.mark.parametrize(
    ("method", "named"),
    [
        (Own(stops_at=9), "method Own asks for candidate 6 of a step, and its max_candidates is 5"),
        (Own(stops_at=0), "method Own stops a step without any candidate"),
        (Own(pairs=(0, 7)), "method Own pairs candidates 0 and 7 at step 1, which drew 0, 1"),
        (Own(pairs=(1, -1)), "method Own pairs candidates 1 and -1"),
        (Own(pairs=(1, 1)), "method Own pairs candidates 1 and 1"),
    ],
)
async def test_a_method_of_ones_own_that_breaks_its_word_is_named_and_nothing_is_recorded(
    method: Own, named: str, tmp_path: Path
) -> None:
    async with Sampler(ToyEnv(), policy=ScriptedPolicy(), method=method, run_dir=tmp_path) as sampler:
        with pytest.raises(ConfigError, match=named):
            async for event in sampler.events([Task("t", "u")]):
                assert not isinstance(event, StepRecord)
    assert check(tmp_path).problems == ()
