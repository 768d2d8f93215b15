"""The shop's rules: what an action does on a page. Pure, but for the searches that a catalogue does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from rro_sdk.envs.webshop import pages
from rro_sdk.envs.webshop.pages import Page, Target
from rro_sdk.envs.webshop.products import Product

LONGEST_ACTION = 20_000
"""Characters of an action that is carried out; a longer one does nothing."""

Place = Literal["search", "results", "item", "sub"]


class Shelf(Protocol):
    """What a session needs of a catalogue."""

    def product(self, asin: str) -> Product | None:
        """The product of that number."""
        ...

    def find(self, query: str) -> Sequence[str]:
        """Numbers of the products that a search shows, best first."""
        ...


class State(NamedTuple):
    """Where a session is. Options stay chosen until the next search.

    Attributes:
        place: the kind of page.
        query: the last search, as typed.
        number: page of its results.
        asin: the product looked at.
        sub: which of its pages.
        options: values chosen by name, in the order in which the names were first chosen.
        seen: products opened since the search page was last left.
    """

    place: Place = "search"
    query: str = ""
    number: int = 1
    asin: str = ""
    sub: str = ""
    options: tuple[tuple[str, str], ...] = ()
    seen: frozenset[str] = frozenset()


START = State()


class Purchase(msgspec.Struct, frozen=True):
    """The end of a session: a product with the options that were chosen."""

    asin: str
    options: dict[str, str]


def read_action(action: str) -> tuple[str, str] | None:
    """Name and argument of `name[argument]`, the argument in lower case; None for anything else.

    The name ends at the last "[" that has an argument before the last "]"; only the first line counts.
    """
    if len(action) > LONGEST_ACTION:
        return None
    line = action.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, end - 1) if end > 2 else -1
    return None if start < 1 else (line[:start], line[start + 1 : end].lower())


def page_of(state: State, instruction: str, shelf: Shelf) -> Page:
    """The page that a session is on."""
    if state.place == "search":
        return pages.search_page(instruction)
    if state.place == "results":
        found = shelf.find(state.query)
        shown = found[(state.number - 1) * pages.PAGE_SIZE : state.number * pages.PAGE_SIZE]
        products = [product for asin in shown if (product := shelf.product(asin)) is not None]
        return pages.results_page(instruction, products, number=state.number, total=len(found))
    product = shelf.product(state.asin)
    if product is None:
        raise LookupError(f"no product {state.asin}")
    if state.place == "item":
        return pages.item_page(instruction, product)
    return pages.sub_page(instruction, product, state.sub)


def act(state: State, targets: dict[str, Target], action: str) -> State | Purchase | None:
    """What an action leads to.

    Args:
        state: where the session is.
        targets: what can be clicked there.
        action: as the agent wrote it.

    Returns:
        The next state; what was bought; None where the action does nothing.
    """
    asked = read_action(action)
    if asked is None:
        return None
    name, argument = asked
    if name == "search" and argument:
        return _results(state, argument, 1)
    if name == "click" and argument in targets and argument != pages.SEARCH.lower():
        return _click(state, targets[argument], argument)
    return None


def chosen_in(state: State, text: str) -> bool:
    """Whether the rich mode shows an option's value as clicked: where the address holds it in quotes."""
    return f'"{text}"' in _address(state)


def _click(state: State, target: Target, text: str) -> State | Purchase | None:
    if text == pages.BUY_NOW.lower():
        return Purchase(state.asin, dict(state.options))
    if text == pages.BACK_TO_SEARCH.lower():
        return START
    where = _believed_place(state)
    if text == pages.NEXT_PAGE.lower() and where == "results":
        return _results(state, state.query, state.number + 1)
    if text == pages.PREVIOUS_PAGE.lower() and where == "results":
        return _results(state, state.query, state.number - 1)
    if text == pages.PREVIOUS_PAGE.lower() and where == "item":
        return _results(state, state.query, state.number)
    for name in pages.SUB_PAGES:
        if text == name.lower():
            return state._replace(place="sub", sub=name)
    if target.kind == "link":
        return state._replace(place="item", sub="", asin=target.asin, seen=state.seen | {target.asin})
    if target.kind == "option":
        options = dict(state.options)
        options[target.name] = text
        return state._replace(place="item", sub="", options=tuple(options.items()))
    return state._replace(place="item", sub="")


def _results(state: State, query: str, number: int) -> State:
    return State(place="results", query=query, number=number, seen=state.seen)


def _believed_place(state: State) -> Place:
    """Where the original takes the session to be: the first page's name that its address contains.

    The address holds the search, so a search for "item_page" or "search_results" confuses it.
    """
    if state.place in ("search", "results"):
        return state.place
    address = _address(state)
    if "search_results" in address:
        return "results"
    return "item" if state.place == "item" or "item_page" in address else "sub"


def _address(state: State) -> str:
    """The part of the page's address that depends on what was searched and chosen."""
    options = dict(state.options)
    said = json.dumps(options) if state.place == "item" else str(options)
    return f"/{state.asin}/{state.query.replace(' ', '+')}/{state.number}/{said}"
