"""Verdicts in words: each says what the rule saw, and agrees with what the method did."""

from __future__ import annotations

from typing import Any

import pytest

from rro_sdk.page.verdict import in_words, rule_of, verdict_of
from rro_sdk.types import (
    Action,
    Candidate,
    Estimate,
    NoPairReason,
    Observation,
    PairChoice,
    StepOutcome,
    StepRecord,
    Usage,
)


def candidate(index: int, *outcomes: float, planned: int = 0, **more: Any) -> Candidate:
    action = Action(f"Action: go {index}", f"go {index}")
    return Candidate(index, action, Observation("there"), Estimate(outcomes, planned=planned), **more)


def record(
    *candidates: Candidate,
    outcome: StepOutcome,
    pair: PairChoice | None = None,
    no_pair: NoPairReason | None = None,
) -> StepRecord:
    baseline = Estimate((1.0, 0.0, 1.0, 0.0, 0.0))
    return StepRecord("t", 1, (), baseline, candidates, outcome, pair, no_pair, 0, "v", Usage(), 0)


def method(rule: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {"max_candidates": 5, "rule": rule, **more}


PAPER = method({"type": "Paper"})


def test_a_rise_names_the_numbers_and_where_drawing_stopped() -> None:
    step = record(
        candidate(0, 0, 0, 0, 0, 1), candidate(1, 1, 1, 1, 0, 0), outcome="risen", pair=PairChoice(1, 0)
    )
    said = verdict_of(step, PAPER)
    assert [each.standing for each in said.candidates] == ["falls short", "rises"]
    assert [each.words for each in said.candidates] == ["Falls short: 0.20 < 0.40.", "Rises: 0.60 ≥ 0.40."]
    assert said.step == "Risen with candidate 1: drawing stopped after 2 of at most 5."
    assert said.pair == "Pair: candidate 1 over candidate 0, 0.60 against 0.20."


@pytest.mark.parametrize(
    ("rule", "words", "symbols"),
    [
        ({"type": "Paper"}, "Rises: 0.40 ≥ 0.40.", "rₜ ≥ rₜ₋₁"),
        ({"type": "Strict"}, "Falls short: 0.40 ≤ 0.40.", "rₜ > rₜ₋₁"),
        ({"type": "Margin", "d": 0.2}, "Falls short: 0.40 < 0.40 + 0.2.", "rₜ ≥ rₜ₋₁ + 0.2"),
        (
            {"type": "Posterior", "p": 0.4},
            "Rises: 0.40 against 0.40 is no worse with a probability of at least 0.4.",
            "P(rₜ ≥ rₜ₋₁) ≥ 0.4",
        ),
    ],
)
def test_equal_rewards_are_judged_by_the_runs_own_rule(
    rule: dict[str, Any], words: str, symbols: str
) -> None:
    outcome: StepOutcome = "risen" if words.startswith("Rises") else "exhausted"
    step = record(candidate(0, 1, 1, 0, 0, 0), outcome=outcome, no_pair="single_candidate")
    for settings in (method(rule), {"stop": method(rule)}):  # its own, or the stop rule's within it
        assert verdict_of(step, settings).candidates[0].words == words
        assert in_words(rule_of(settings)) == symbols


def test_an_early_decision_says_how_far_it_went_and_what_could_still_have_been() -> None:
    step = record(candidate(0, 0, 0, 0, 0, planned=5), outcome="exhausted", no_pair="single_candidate")
    said = verdict_of(step, PAPER)
    assert said.candidates[0].words == "Falls short: at most 0.20 < 0.40 after 4 of 5 rollouts."
    assert said.step == "Exhausted: the only candidate did not rise."
    assert said.pair == "No pair: there is nothing to compare the only candidate with."


def test_a_second_candidate_after_a_first_rise_is_said_to_be_for_contrast() -> None:
    step = record(
        candidate(0, 1, 1, 1, 1, 1),
        candidate(1, 1, 1, 1, 1, 1, duplicate_of=0),
        outcome="risen",
        no_pair="same_action",
    )
    said = verdict_of(step, PAPER)
    assert said.step == "Candidate 0 rose; 1 more was drawn for contrast."
    assert said.candidates[1].words.startswith("Says the same as candidate 0.")
    assert said.pair == "No pair: the best and the worst candidate say the same."


def test_a_method_without_a_rule_judges_nothing() -> None:
    step = record(
        candidate(0, 0, 0, 0, 0, 1), candidate(1, 1, 1, 1, 0, 0), outcome="complete", pair=PairChoice(1, 0)
    )
    for settings in (method(None), PAPER):  # `complete` is judged by none, whatever the settings
        said = verdict_of(step, settings)
        assert {each.standing for each in said.candidates} == {"not judged"}
        assert said.step == "2 candidates; this method judges none, it compares them."
    assert in_words(rule_of(method({"type": "MyOwn"}))) == ""
