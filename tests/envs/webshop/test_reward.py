"""Every rule of the reward, and the quirks that are kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.goals import Goal
from rro_sdk.envs.webshop.products import Product
from rro_sdk.envs.webshop.reward import Score, matching_options, score

NOUNS = ("fjell", "enamel", "camping", "mug")


@pytest.fixture
def mug(shop: Catalogue) -> Product:
    found = shop.product("B000000001")
    assert found is not None
    return found


def goal(**fields: Any) -> Goal:
    return Goal(
        **{
            "asin": "B000000001",
            "instruction_text": "x",
            "attributes": ("dishwasher safe", "long lasting"),
            "goal_options": {"color": "black"},
            "query": "camping mugs",
            "product_category": "Home & Kitchen › Cups › Mugs",
            "name": "Fjell Enamel Camping Mug",
            "price_upper": 20.0,
            **fields,
        }
    )


def judge(product: Product, wanted: Goal, nouns: tuple[str, ...] = NOUNS, **fields: Any) -> Score:
    return score(product, wanted, nouns, **{"price": 12.5, "options": {"color": "black"}, **fields})


def test_all_of_it(mug: Product) -> None:
    assert judge(mug, goal()) == Score(1.0, 1.0, True, True, 1.0, 1.0, 0.5, 1.0, 0.25, True, 0.25)


def test_parts_count_alike(mug: Product) -> None:
    assert judge(mug, goal(), options={}).reward == 0.75
    assert judge(mug, goal(), price=20.01).reward == 0.75
    assert judge(mug, goal(), price=20.0).reward == 1.0
    assert judge(mug, goal(attributes=("dishwasher safe", "made of gold"))).reward == 0.75
    nothing = judge(mug, goal(attributes=("made of gold",), goal_options={}), price=21, options={})
    assert (nothing.reward, nothing.r_option, nothing.w_option, nothing.w_att) == (0.0, None, None, 0.5)


def test_attributes_may_stand_in_the_texts(mug: Product) -> None:
    for words in ("enamel camp", "12 oz", "mug for hikers"):
        assert judge(mug, goal(attributes=(words,))).r_att == 1.0
    assert judge(mug, goal(attributes=("Enamel Pot",))).r_att == 0.0
    assert judge(mug, goal(attributes=("dish washer safe",))).r_att == 1.0


@pytest.mark.parametrize(
    ("nouns", "fields", "expected"),
    [
        (("kettle",), {}, 0.0),
        (("mug", *"abcdefghij"), {}, 0.1),
        (("mug", *"abcdefghi"), {}, 1.0),
        (("mug", *"abcd"), {"query": "x", "product_category": "Home & Kitchen › Pots"}, 0.5),
        (("mug", *"abc"), {"query": "x", "product_category": "Home & Kitchen › Pots"}, 1.0),
        (("mug", *"abcd"), {"query": "x"}, 1.0),
        (("mug", *"abcd"), {"product_category": "Cups"}, 1.0),
        ((), {}, 1.0),
        ((), {"query": "x", "product_category": "Cups"}, 0.5),
        (("mug", "mug", "mug", *"abcde"), {}, 1.0),
    ],
)
def test_the_kind_of_product(
    mug: Product, nouns: tuple[str, ...], fields: dict[str, str], expected: float
) -> None:
    assert judge(mug, goal(**fields), nouns).r_type == expected


def test_repeats_count_below_the_line_alone(mug: Product) -> None:
    assert judge(mug, goal(), ("mug", "mug", "mug", "cup")).title_score == 0.25


@pytest.mark.parametrize(
    ("chosen", "wanted", "kept", "fixed"),
    [
        ("black", {"color": "black"}, 1, 1),
        ("wine red", {"color": "wine red"}, 1, 1),
        ("b-yellow", {"color": "a-yellow"}, 1, 1),
        ("darkgreen", {"color": "darkgreen"}, 0, 1),
        ("jet black", {"color": "black"}, 1, 1),
        ("x-large", {"size": "xx-large"}, 0, 1),
        ("large", {"size": "x-large"}, 1, 1),
        ("40", {"size": "41"}, 0, 0),
        ("red", {"color": "blue"}, 0, 0),
        ("crimson", ("crimson",), 1, 1),
        ("dark teal", ("dark white",), 1, 1),
    ],
)
def test_options(chosen: str, wanted: Any, kept: int, fixed: int) -> None:
    assert matching_options([chosen], wanted) == kept
    assert matching_options([chosen], wanted, fixed=True) == fixed


def test_some_goals_cannot_be_met_unless_fixed(mug: Product) -> None:
    wanted = goal(goal_options={"color": "darkgreen"})
    assert judge(mug, wanted, options={"color": "darkgreen"}).reward == 0.75
    assert judge(mug, wanted, options={"color": "darkgreen"}, fixed=True).reward == 1.0


def test_no_limit(mug: Product) -> None:
    found = judge(mug, goal(price_upper=0))
    assert (found.r_price, found.w_price, found.reward) == (None, None, 0.75)


def test_a_score_can_be_written_down(mug: Product) -> None:
    assert msgspec.json.decode(msgspec.json.encode(judge(mug, goal())), type=Score).reward == 1.0
