"""WebShop's reward (arXiv 2207.01206, section 3 and appendix A): what was bought against what was wanted.

type x (attributes found + options chosen + price kept) / (attributes + options wanted + 1)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
from rapidfuzz import fuzz, utils

from rro_sdk.envs.webshop.goals import Goal
from rro_sdk.envs.webshop.products import Product

MATCH_ABOVE = 85
"""Percent of likeness (token set ratio) that two phrases must exceed to count as the same."""

SAME_TITLE_ABOVE = 0.2
UNLIKE_TITLE_BELOW = 0.1
NO_NOUNS_SCORE = 0.2
"""Title score of a goal whose title has no nouns."""

SHARED_CATEGORIES = 2

_COLOR_NAMES = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown
burgundy camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac
copper coral cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold granite
grape graphite grass gray green grey heather indigo ivory ivy khaki lavender lemon leopard light
lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom mustard natural navy
nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand sapphire seashell
silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise violet walnut
wheat white wine yellow
"""
COLORS = tuple(_COLOR_NAMES.split())
"""An option that contains one of these stands for it, the first one in this order: "wine red" is red."""

_LATIN_1 = dict.fromkeys(range(128, 256))


class Score(msgspec.Struct, frozen=True):
    """A reward in [0, 1] and what it is made of; a weight is the part's share of what was wanted.

    Attributes:
        reward: the product of `r_type` and the weighted parts.
        r_type: 0, 0.1, 0.5 or 1, by how far the kind of product is the wanted one.
        query_match, category_match: the two were found under the same search; share two categories.
        title_score: share of the nouns in the wanted title that the bought one has.
        r_att, w_att: share of attributes found.
        r_option, w_option: share of options chosen; None where none were wanted.
        r_price, w_price: whether the price limit was kept; None where there is none.
    """

    reward: float
    r_type: float
    query_match: bool
    category_match: bool
    title_score: float
    r_att: float
    w_att: float
    r_option: float | None
    w_option: float | None
    r_price: bool | None
    w_price: float | None


def score(
    bought: Product,
    goal: Goal,
    goal_nouns: Sequence[str],
    *,
    price: float,
    options: Mapping[str, str],
    fixed: bool = False,
) -> Score:
    """The reward of a purchase.

    Args:
        bought: the product.
        goal: what was wanted.
        goal_nouns: nouns of the goal's title, with repeats.
        price: dollars paid.
        options: what was chosen, by name.
        fixed: compare options by their values. The original compares what was chosen, reduced to its
            colour, with name and value of what was wanted, not reduced unless the value is a colour and no
            more: a goal of "darkgreen" cannot be met.
    """
    title_score = _title_score(bought.nouns, goal_nouns)
    query_match = bought.query == goal.query
    category_match = len(_categories(bought) & _categories(goal)) >= SHARED_CATEGORIES
    r_type = _type_reward(title_score, query_match or category_match)
    found = sum(_has(bought, attribute) for attribute in goal.attributes)
    chosen = matching_options(options.values(), goal.goal_options, fixed=fixed)
    kept = price <= goal.price_upper if goal.price_upper > 0 else None
    wanted = len(goal.attributes) + len(goal.goal_options) + 1
    has_options = bool(goal.goal_options)
    return Score(
        reward=(found + chosen + bool(kept)) / wanted * r_type,
        r_type=r_type,
        query_match=query_match,
        category_match=category_match,
        title_score=title_score,
        r_att=found / len(goal.attributes),
        w_att=len(goal.attributes) / wanted,
        r_option=chosen / len(goal.goal_options) if has_options else None,
        w_option=len(goal.goal_options) / wanted if has_options else None,
        r_price=kept,
        w_price=None if kept is None else 1 / wanted,
    )


def matching_options(
    chosen: Iterable[str], wanted: Mapping[str, str] | Sequence[str], *, fixed: bool = False
) -> int:
    """How many of the wanted options were chosen."""
    given = [_plain(_color(value) or value) for value in chosen]
    asked: list[str]
    if not isinstance(wanted, Mapping):
        asked = [_plain(_color(value) or value) for value in wanted]
    elif fixed:
        asked = [_plain(_color(value) or value) for value in wanted.values()]
    else:
        asked = [_plain(_color_of_pair(pair) or str(pair)) for pair in wanted.items()]
    return sum(any(_alike(value, other) for value in given) for other in asked)


def _title_score(bought: Sequence[str], wanted: Sequence[str]) -> float:
    if not wanted:
        return NO_NOUNS_SCORE
    # The wanted nouns count with their repeats below the line alone, as in the original.
    return len(set(bought) & set(wanted)) / len(wanted)


def _type_reward(title_score: float, same_kind: bool) -> float:
    if title_score == 0.0:
        return 0.0
    if title_score < UNLIKE_TITLE_BELOW:
        return 0.1
    return 1.0 if same_kind or title_score > SAME_TITLE_ABOVE else 0.5


def _categories(item: Product | Goal) -> set[str]:
    return {name.strip() for name in item.product_category.split("›")}


def _has(bought: Product, attribute: str) -> bool:
    wanted = _plain(attribute)
    if any(_alike(_plain(own), wanted) for own in bought.attributes):
        return True
    return (
        attribute in bought.title.lower()
        or attribute in " ".join(bought.bullets).lower()
        or attribute in bought.description.lower()
    )


def _color(value: str) -> str | None:
    """The first colour that a value contains."""
    return next((color for color in COLORS if color in value), None)


def _color_of_pair(pair: tuple[str, str]) -> str | None:
    """The first colour that is the name or the value: the original looks into the pair, not into its text."""
    return next((color for color in COLORS if color in pair), None)


@lru_cache(100_000)
def _plain(text: str) -> str:
    """A text as it is compared: letters and digits in lower case, without those of Latin-1 beyond ASCII."""
    return utils.default_process(text.translate(_LATIN_1))


@lru_cache(100_000)
def _alike(one: str, other: str) -> bool:
    return round(fuzz.token_set_ratio(one, other)) > MATCH_ABOVE
