from __future__ import annotations

import json

import pytest

from rro_sdk.errors import ConfigError
from rro_sdk.methods import FixedSize, RisingReward, Strict
from rro_sdk.planner import plan
from rro_sdk.stats import candidates_null_binary
from tests.cli.test_cli import rro


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_without_spread_it_is_the_exact_null(rate: float) -> None:
    found = plan(RisingReward(), success_rate=rate, spread=0.0, steps=20_000)
    assert found.candidates_per_step == pytest.approx(candidates_null_binary(rate, 5, 5), rel=0.02)
    assert found.pair_precision == 0.0, "no candidate is truly better than another"


def test_fixed_size_costs_what_it_says() -> None:
    found = plan(FixedSize(rollouts=5, max_candidates=5), success_rate=0.4, steps=2000)
    assert (found.candidates_per_step, found.rollouts_per_step) == (5.0, 25.0)
    assert found.pairs_per_1000_rollouts == pytest.approx(1000 * found.pair_rate / 25)


def test_more_rollouts_make_pairs_more_precise_and_a_second_candidate_more_frequent() -> None:
    few = plan(RisingReward(rollouts=3), success_rate=0.5, steps=8000)
    many = plan(RisingReward(rollouts=15), success_rate=0.5, steps=8000)
    second = plan(RisingReward(rollouts=3, on_first_rise="second"), success_rate=0.5, steps=8000)
    assert few.pair_precision is not None
    assert many.pair_precision is not None
    assert many.pair_precision > few.pair_precision
    assert second.pair_rate > few.pair_rate


@pytest.mark.parametrize(
    "method", [RisingReward(on_first_rise="prefix_action"), RisingReward(rule=Strict(), max_candidates=3)]
)
def test_every_setting_can_be_planned(method: RisingReward) -> None:
    found = plan(method, success_rate=0.5, steps=500)
    assert 1 <= found.candidates_per_step <= method.max_candidates
    assert found.pair_rate + sum(found.no_pair.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_certain_outcomes_give_no_pair_and_no_precision(rate: float) -> None:
    found = plan(RisingReward(), success_rate=rate, spread=1.0, steps=100)
    assert (found.pair_rate, found.pair_precision, found.no_pair) == (0.0, None, {"single_candidate": 1.0})


@pytest.mark.parametrize(
    "arguments",
    [{"success_rate": 1.5}, {"success_rate": 0.5, "spread": -1}, {"success_rate": 0.5, "steps": 0}],
)
def test_arguments_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="plan"):
        plan(RisingReward(), **arguments)  # type: ignore[arg-type]


def test_the_command_prints_the_same_as_json_and_as_text() -> None:
    done = rro("plan", "--success-rate", "0.4", "--steps", "500", "--json")
    keys = {
        "candidates_per_step",
        "candidates_per_step_null",
        "rollouts_per_step",
        "pairs_per_1000_rollouts",
        "pair_precision",
    }
    assert keys <= json.loads(done.stdout).keys()
    assert "null" in rro("plan", "--success-rate", "0.4", "--steps", "500", "--method", "fixed").stdout
    assert rro("plan", "--success-rate", "0.4", "--rule", "hope").returncode == 2
