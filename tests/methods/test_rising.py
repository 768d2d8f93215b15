"""The rising rule against a plain transcription of Algorithm 1, over random rewards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import ConfigError
from rro_sdk.methods import Draw, RisingReward, StepView, Stop
from rro_sdk.types import Action, Candidate, Estimate, Observation, PairChoice

rewards = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])


def candidate(index: int, reward: float, text: str | None = None) -> Candidate:
    return Candidate(index, Action(text or f"a{index}", "x"), Observation("o"), Estimate((reward,)))


def algorithm_1(baseline: float, stream: list[float], cap: int) -> tuple[int, str]:
    """Lines 13 to 22, as they stand in the paper, with our cap."""
    for drawn, reward in enumerate(stream, start=1):
        if reward >= baseline:
            return drawn, "risen"
        if drawn == cap:
            return drawn, "exhausted"
    raise AssertionError("the stream is shorter than the cap")


@given(rewards, st.lists(rewards, min_size=6, max_size=6), st.integers(1, 6))
def test_decides_as_algorithm_1(baseline: float, stream: list[float], cap: int) -> None:
    method = RisingReward(rollouts=1, max_candidates=cap)
    drawn: tuple[Candidate, ...] = ()
    while isinstance(decision := method.decide(StepView(Estimate((baseline,)), drawn)), Draw):
        drawn = (*drawn, candidate(len(drawn), stream[len(drawn)]))
    assert isinstance(decision, Stop)
    assert (len(drawn), decision.outcome) == algorithm_1(baseline, stream, cap)


@given(st.lists(rewards, min_size=1, max_size=6), st.booleans())
def test_pair_is_arg_max_against_arg_min_to_the_earliest(values: list[float], same_text: bool) -> None:
    drawn = tuple(candidate(index, value, "a" if same_text else None) for index, value in enumerate(values))
    found = RisingReward().pair(StepView(Estimate((1.0,)), drawn))
    if len(values) == 1:
        assert found == "single_candidate"
    elif max(values) == min(values):
        assert found == "equal_rewards"
    elif same_text:
        assert found == "same_action"
    else:
        assert found == PairChoice(values.index(max(values)), values.index(min(values)))


@given(rewards, st.lists(rewards, min_size=6, max_size=6), st.integers(1, 6))
def test_second_draws_two_when_the_first_rises_and_is_the_paper_s_rule_otherwise(
    baseline: float, stream: list[float], cap: int
) -> None:
    method = RisingReward(rollouts=1, max_candidates=cap, on_first_rise="second")
    drawn: tuple[Candidate, ...] = ()
    while isinstance(decision := method.decide(StepView(Estimate((baseline,)), drawn)), Draw):
        drawn = (*drawn, candidate(len(drawn), stream[len(drawn)]))
    if stream[0] >= baseline:
        assert (len(drawn), decision.outcome) == (min(2, cap), "risen")
    else:
        assert (len(drawn), decision.outcome) == algorithm_1(baseline, stream, cap)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rollouts": 0}, "rollouts"),
        ({"rollouts": 2.5}, "rollouts"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"on_first_rise": "third"}, "on_first_rise"),
        ({"prefix": "best"}, "prefix"),
        ({"prefix": "chosen", "on_first_rise": "prefix_action"}, "prefix_action"),
    ],
)
def test_settings_out_of_range_name_the_field(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        RisingReward(**settings)  # type: ignore[arg-type]
