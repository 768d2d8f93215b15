"""What the shop's pages show, as text nodes, and what can be clicked on them. Pure.

A page is the list of visible texts of the original's HTML, in order, each with the kind of its tag.
`simple` joins them; `rich` marks buttons and what has been clicked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from rro_sdk.envs.webshop.products import Product

Mode = Literal["simple", "rich"]
Kind = Literal["text", "button", "option", "link"]

SEPARATOR = " [SEP] "
PAGE_SIZE = 10

SEARCH = "Search"
BACK_TO_SEARCH = "Back to Search"
NEXT_PAGE = "Next >"
PREVIOUS_PAGE = "< Prev"
BUY_NOW = "Buy Now"
SUB_PAGES = ("Description", "Features", "Reviews", "Attributes")
"""The last one has no button: it is reached only where an option has its name."""

_HTML_SPACE = " \n\t\f\r"


class Node(msgspec.Struct, frozen=True):
    """A visible text; `kind` is "text" where it cannot be clicked."""

    text: str
    kind: Kind = "text"


class Target(msgspec.Struct, frozen=True):
    """What a click hits. `name` is the option that a value belongs to, `asin` the product of a link."""

    kind: Kind
    name: str = ""
    asin: str = ""


class Page(msgspec.Struct, frozen=True):
    """Visible texts, and what can be clicked by its text in lower case."""

    nodes: tuple[Node, ...]
    targets: dict[str, Target]

    def simple(self) -> str:
        """The texts with separators between them."""
        return SEPARATOR.join(node.text.strip() for node in self.nodes)

    def rich(self, *, chosen: Callable[[str], bool], seen: frozenset[str]) -> str:
        """The texts, one a line, buttons in brackets.

        Args:
            chosen: whether an option's value is shown as clicked.
            seen: products whose links are shown as clicked.
        """
        shown = ""
        for node in self.nodes:
            text = node.text
            if node.kind == "button":
                line = f"[button] {text} [button_]"
            elif node.kind == "option" and chosen(text):
                line = f"  [clicked button] {text} [clicked button_]"
                shown = f"You have clicked {text}.\n{shown}"
            elif node.kind == "option":
                line = f"  [button] {text} [button_]"
            elif node.kind == "link":
                mark = "clicked button" if text in seen else "button"
                line = f"\n[{mark}] {text} [{mark}_]"
            else:
                line = text
            shown += line + "\n"
        return shown


def search_page(instruction: str) -> Page:
    return _page([*_texts("WebShop", "Instruction: ", instruction), _button(SEARCH)])


def results_page(instruction: str, products: Sequence[Product], *, number: int, total: int) -> Page:
    """One page of search results.

    Args:
        instruction: what the agent was told.
        products: those of this page.
        number: of the page; the first one has no way back.
        total: products found in all.
    """
    nodes = [*_head(instruction), *_texts(f"Page {number} (Total results: {total})")]
    if number > 1:
        nodes.append(_button(PREVIOUS_PAGE))
    nodes.append(_button(NEXT_PAGE))
    for product in products:
        nodes += _nodes([product.asin], "link")
        nodes += _texts(product.title, product.price_tag)
    return _page(nodes)


def item_page(instruction: str, product: Product) -> Page:
    nodes = [*_head(instruction), _button(PREVIOUS_PAGE)]
    for name, values in product.options.items():
        nodes += _texts(name)
        nodes += _nodes(values, "option")
    nodes += _texts(product.title, f"Price: {product.price_tag}", "Rating: N.A.")
    nodes += [_button(name) for name in SUB_PAGES[:3]]
    nodes.append(_button(BUY_NOW))
    page = _page(nodes)
    for name, values in product.options.items():
        for value in values:
            page.targets[value] = Target("option", name=name)
    return page


def sub_page(instruction: str, product: Product, name: str) -> Page:
    """One of `SUB_PAGES`. There are no reviews: the original ships none."""
    nodes = [*_head(instruction), _button(PREVIOUS_PAGE)]
    if name == "Description":
        nodes += _texts(product.description)
    elif name == "Features":
        nodes += _texts(*(f" {bullet}" for bullet in product.bullets))
    elif name == "Attributes":
        nodes += _texts(*(f" {attribute}" for attribute in product.attributes))
        nodes += _texts(product.category, product.query, product.product_category)
    return _page(nodes)


def done_page(asin: str, options: Mapping[str, str], reward: float) -> Page:
    """The page after a purchase; what the original leaves empty or None here stays so."""
    # Flask writes JSON for a script: keys in order, and no characters that end one.
    chosen = json.dumps(dict(options), sort_keys=True)
    for character in "<>&'":
        chosen = chosen.replace(character, f"\\u{ord(character):04x}")
    texts = [
        *("Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"),
        *("Purchased", "asin", asin, "options", chosen, "attrs", "None", "category", "None"),
        *("query", "None", "product category", "None"),
        *(
            "Target",
            "asin",
            "options",
            "attrs",
            "price upper",
            "instuction text",
            "category",
            "product category",
        ),
        *("query", "Goal ", "None", "Reward", "Your score (min 0.0, max 1.0)", str(reward)),
        *("Reward Details ", "None"),
    ]
    return _page(_texts(*texts))


def _head(instruction: str) -> list[Node]:
    return [*_texts("Instruction:", instruction), _button(BACK_TO_SEARCH)]


def _button(text: str) -> Node:
    return Node(text, "button")


def _texts(*texts: str) -> list[Node]:
    return _nodes(texts, "text")


def _nodes(texts: Iterable[str], kind: Kind) -> list[Node]:
    """Texts as an HTML parser gives them back: none for an empty one, white space as one space or dropped."""
    found = []
    for text in texts:
        if not text:
            continue
        if text.strip(_HTML_SPACE):
            found.append(Node(text, kind))
        elif "\n" not in text:
            found.append(Node(" ", kind))
    return found


def _page(nodes: Sequence[Node]) -> Page:
    """A page with its buttons and links; buttons come before links, whatever their order."""
    targets = {node.text.lower(): Target("button") for node in nodes if node.kind == "button"}
    targets |= {node.text.lower(): Target("link", asin=node.text) for node in nodes if node.kind == "link"}
    return Page(tuple(nodes), targets)
