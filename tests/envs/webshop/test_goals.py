"""Goals: the original's, people's, and those made for any shop."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.goals import (
    Goal,
    HumanInstruction,
    goal_from_instruction,
    goals_from,
    human_goals,
    read_goals,
    synthetic_goals,
)
from rro_sdk.envs.webshop.products import LoadedProducts, read_json
from rro_sdk.envs.webshop.sources import load, shop_files
from rro_sdk.envs.webshop.tasks import load_tasks
from rro_sdk.errors import ConfigError, DataError


def test_every_combination_of_options_is_a_goal(shop_folder: Path) -> None:
    files = shop_files(shop_folder)
    assert files is not None
    loaded = load(files)
    goals = synthetic_goals(loaded.products, loaded.annotations, loaded.rng)
    assert [goal.goal_idx for goal in goals] == [0, 1, 2]
    assert sorted(str(goal.goal_options) for goal in goals) == [
        "{'color': 'black', 'size': '12 oz'}",
        "{'color': 'dark | green', 'size': '12 oz'}",
        "{'color': 'wine red', 'size': '12 oz'}",
    ]
    for goal in goals:
        assert isinstance(goal.goal_options, dict)
        assert goal.price_upper in (30.0, 40.0, 50.0)
        assert goal.weight == pytest.approx(1 / 3)
        assert goal.instruction_text == (
            "Find me dishwasher safe camping mugs with long lasting with color:"
            f" {goal.goal_options['color']}, and size: 12 oz,"
            f" and price lower than {goal.price_upper:.2f} dollars"
        )


def test_goals_in_peoples_words(shop_folder: Path) -> None:
    files = shop_files(shop_folder)
    assert files is not None and files.human is not None
    loaded = load(files)
    said = read_json(files.human, dict[str, list[HumanInstruction]])
    goals = human_goals(loaded.products, said, loaded.rng)
    assert [goal.goal_options for goal in goals] == [("wine red",)]
    assert goals[0].instruction_text.startswith(
        "i want a red mug that i can put into the dishwasher, and price"
    )


def test_an_instruction_says_which_goal_it_is(shop_folder: Path) -> None:
    files = shop_files(shop_folder)
    assert files is not None
    loaded = load(files)
    for goal in synthetic_goals(loaded.products, loaded.annotations, loaded.rng):
        found = goal_from_instruction(goal.instruction_text, loaded.products)
        assert found == msgspec.structs.replace(goal, goal_idx=None, weight=1.0)
    assert goal_from_instruction("Find me a boat", loaded.products) is None


def test_two_kinds_that_fit_are_none(shop: Catalogue) -> None:
    mug = shop.products[0]
    twin = msgspec.structs.replace(mug, asin="B000000009", title="Another Mug")
    text = "Find me long lasting camping mugs with color: black, and size: 12 oz"
    assert goal_from_instruction(text, LoadedProducts([mug, twin])) is None
    assert goal_from_instruction(text, LoadedProducts([mug])) is not None


def test_goals_for_any_shop(generated: Catalogue) -> None:
    goals = goals_from(generated.products, count=500, seed=1)
    assert goals == goals_from(generated.products, count=500, seed=1)
    assert goals != goals_from(generated.products, count=500, seed=2)
    assert len({goal.instruction_text for goal in goals}) == 500
    for goal in goals:
        product = generated.product(goal.asin)
        assert product is not None
        assert set(goal.attributes) <= set(product.attributes)
        assert isinstance(goal.goal_options, dict)
        assert all(value in product.options[name] for name, value in goal.goal_options.items())
        assert product.price < goal.price_upper


def test_a_shop_without_attributes_has_no_goals(shop: Catalogue) -> None:
    assert goals_from(LoadedProducts([shop.products[2]]), count=5) == []


def row(**fields: object) -> dict[str, object]:
    return {
        "goal_idx": 4,
        "asin": "B1",
        "instruction_text": "x",
        "attributes": ["a"],
        "goal_options": {"size": "m"},
        "query": "q",
        "product_category": "c",
        "name": "n",
        "own_reward_below_1": True,
        **fields,
    }


def test_reading_goals(tmp_path: Path) -> None:
    path = tmp_path / "goals.jsonl"
    path.write_text(json.dumps(row()) + "\n\n" + json.dumps(row(goal_idx=None, goal_options=["m"])))
    first, second = read_goals(path)
    assert (first.goal_idx, first.goal_options) == (4, {"size": "m"})
    assert (second.goal_idx, second.goal_options) == (2, ("m",))
    assert [task.id for task in load_tasks(path)] == ["webshop-00004", "webshop-00002"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (json.dumps(row(attributes=[])), "`attributes`"),
        (json.dumps(row(attributes="a")), "attributes"),
        (json.dumps({"asin": "B1"}), "instruction_text"),
        ("{", "line 2"),
        ("\x00", "line 2"),
    ],
)
def test_wrong_goals(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "goals.jsonl"
    path.write_text(json.dumps(row()) + "\n" + line + "\n")
    with pytest.raises(DataError) as raised:
        read_goals(path)
    assert "goals.jsonl, line 2" in str(raised.value)
    assert words in str(raised.value)


def test_wrong_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        load_tasks(tmp_path / "none.jsonl")
    twice = tmp_path / "twice.jsonl"
    twice.write_text((json.dumps(row()) + "\n") * 2)
    with pytest.raises(DataError, match="twice"):
        load_tasks(twice)
    monkeypatch.setenv("RRO_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="RRO_DATA"):
        load_tasks("human")


def test_default_tasks(shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRO_DATA", str(tmp_path))
    shop_folder.rename(tmp_path / "webshop")
    assert len(load_tasks()) == 3
    assert len(load_tasks("human")) == 1
    (tmp_path / "webshop" / "goals_of_mine.jsonl").write_text(json.dumps(row()))
    assert [task.id for task in load_tasks()] == ["webshop-00004"]


def test_goals_for_a_product_file(shop_folder: Path) -> None:
    assert len(load_tasks(shop_folder / "items_shuffle_1000.json")) == len(load_tasks(shop_folder)) == 3
    attributes = {"B000000002": {"attributes": ["long lasting"]}}
    (shop_folder / "items_ins_v2_1000.json").write_text(json.dumps(attributes))
    tasks = load_tasks(shop_folder)
    assert {task.data["asin"] for task in tasks} == {"B000000002"}
    assert tasks[0].instruction.startswith(
        "I am looking for camping mugs, long lasting, and price lower than"
    )


def test_without_data_goals_are_made_for_the_generated_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRO_DATA", str(tmp_path))
    assert len(load_tasks()) == 1_000


def test_a_goal_without_a_limit_is_said_so() -> None:
    goal = Goal("B1", "x", ("a",), {}, "q", "c", "n")
    assert goal.price_upper == 1_000_000
    assert goal.task(7).id == "webshop-00007"
