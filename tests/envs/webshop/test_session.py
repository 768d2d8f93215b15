"""What actions do, page by page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.envs.webshop import session
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.session import LONGEST_ACTION, START, Purchase, State, read_action

MUG = "click[b000000001]"


def after(shop: Catalogue, *actions: str, state: State = START) -> State | Purchase:
    for action in actions:
        result = session.act(state, session.page_of(state, "x", shop).targets, action)
        if isinstance(result, Purchase):
            return result
        state = result if result is not None else state
    return state


@given(st.text(alphabet="ab[]\n ", max_size=12))
def test_actions_are_read_as_the_original_reads_them(text: str) -> None:
    found = re.match(r"(.+)\[(.+)\]", text)
    assert read_action(text) == (None if found is None else (found[1], found[2].lower()))


@pytest.mark.parametrize(
    "action", ["", "think", "click[]", "[x]", "\x00[\x00", "search[a" + "b" * LONGEST_ACTION + "]"]
)
def test_other_texts_do_nothing(shop: Catalogue, action: str) -> None:
    assert after(shop, action) == START


def test_search_works_on_every_page(shop: Catalogue) -> None:
    assert after(shop, "search[Camping Mug]") == State("results", "camping mug")
    assert after(shop, "search[mug]", MUG, "click[features]", "search[cup]") == State(
        "results", "cup", seen=frozenset({"B000000001"})
    )


def test_options_stay_until_the_next_search(shop: Catalogue) -> None:
    chosen = after(shop, "search[mug]", MUG, "click[12 oz]", "click[black]", "click[Wine Red]")
    assert isinstance(chosen, State)
    assert chosen.options == (("size", "12 oz"), ("color", "wine red"))
    back = after(shop, "click[description]", "click[< prev]", state=chosen)
    assert back == chosen
    again = after(shop, "click[< prev]", MUG, state=chosen)
    assert isinstance(again, State)
    assert again.options == ()
    assert after(shop, "click[buy now]", state=chosen) == Purchase(
        "B000000001", {"size": "12 oz", "color": "wine red"}
    )


def test_pages_of_results(shop: Catalogue) -> None:
    assert after(shop, "search[mug]", "click[< prev]") == State("results", "mug")
    assert after(shop, "search[mug]", "click[next >]", "click[Next >]") == State("results", "mug", 3)
    assert after(shop, "search[mug]", "click[next >]", "click[< prev]") == State("results", "mug", 1)
    assert after(shop, "search[mug]", MUG, "click[< prev]") == State(
        "results", "mug", seen=frozenset({"B000000001"})
    )


def test_back_to_search_forgets_everything(shop: Catalogue) -> None:
    assert after(shop, "search[mug]", MUG, "click[black]", "click[back to search]") == START


def test_what_is_not_on_the_page_cannot_be_clicked(shop: Catalogue) -> None:
    for action in ("click[buy now]", MUG, "click[search]", "click[black]"):
        assert after(shop, action) == START


def test_a_search_for_the_name_of_a_page_confuses_the_way_back(shop: Catalogue) -> None:
    opened = after(shop, "search[search_results mug]", MUG, "click[< prev]")
    assert isinstance(opened, State)
    assert (opened.place, opened.number) == ("results", 0)
    sub = after(shop, "search[item_page mug]", MUG, "click[features]", "click[< prev]")
    assert isinstance(sub, State)
    assert sub.place == "results"


def test_rich_looks_for_values_in_the_address(shop: Catalogue) -> None:
    opened = after(shop, 'search["black" mug]', MUG)
    assert isinstance(opened, State)
    assert session.chosen_in(opened, "black")
    assert not session.chosen_in(opened, "wine red")
    chosen = after(shop, "click[12 oz]", state=opened)
    assert isinstance(chosen, State)
    assert session.chosen_in(chosen, "12 oz") and session.chosen_in(chosen, "size")
