"""Wrong turns that a buyer could take first, seen to be wrong, and how they are put right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from rro_sdk.envs.webshop import pages
from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.envs.webshop.experts import Plan, choices
from rro_sdk.envs.webshop.goals import Goal
from rro_sdk.synthesis.experts import Turn


class Mistake(NamedTuple):
    """Turns that go in before one of the script, whose thought becomes `lesson` where one is given."""

    turns: tuple[Turn, ...]
    before: int
    lesson: str | None = None


def mistake(env: WebShop, goal: Goal, way: Plan, rng: Random) -> Mistake | None:
    """One that really is wrong; None where there is none that the step limit has room for."""
    makers: list[Callable[[WebShop, Goal, Plan, Random], Mistake | None]] = [_search, _product, _option]
    rng.shuffle(makers)
    for make in makers:
        found = make(env, goal, way, rng)
        if found is not None and way.steps + len(found.turns) <= env.max_steps:
            return found
    return None


def with_mistake(script: Sequence[Turn], found: Mistake) -> tuple[Turn, ...]:
    """The script with the mistake in it."""
    before, after = list(script[: found.before]), list(script[found.before :])
    if found.lesson is not None:
        after[0] = Turn(found.lesson, after[0].command)
    return (*before, *found.turns, *after)


def _search(env: WebShop, goal: Goal, way: Plan, _rng: Random) -> Mistake | None:
    """Searching for the kind of product alone, where that does not bring the product to the first page."""
    query = " ".join(goal.query.replace("[", " ").replace("]", " ").split())
    if not query or query == way.query or way.product.asin in env.catalogue.find(query)[: pages.PAGE_SIZE]:
        return None
    turn = Turn("I search for the kind of product.", f"search[{query}]", mistake=True)
    return Mistake((turn,), 0, "None of these fits in all, so I search with what it must have.")


def _product(env: WebShop, goal: Goal, way: Plan, rng: Random) -> Mistake | None:
    """Opening another product of the first page, one that is worth less whatever is chosen."""
    others = [asin for asin in env.catalogue.find(way.query)[: pages.PAGE_SIZE] if asin != way.product.asin]
    rng.shuffle(others)
    for asin in others[:3]:
        product = env.catalogue.product(asin)
        if product is None:
            continue
        best = choices(product, goal, fixed=env.settings.fixed)
        if env.judge(goal, product, best).reward < 1.0:
            thought = f"{asin} may be what is asked for, so I open it."
            wrong = Turn(thought, f"click[{asin}]", mistake=True)
            back = Turn("It does not fit in all that is asked for, so I go back.", "click[< prev]")
            return Mistake((wrong, back), 1)
    return None


def _option(env: WebShop, goal: Goal, way: Plan, rng: Random) -> Mistake | None:
    """Choosing another value of an option that is asked for."""
    names = list(way.options)
    rng.shuffle(names)
    for name in names:
        others = [value for value in way.product.options[name] if value != way.options[name]]
        if not others:
            continue
        value = rng.choice(others)
        if env.judge(goal, way.product, {**way.options, name: value}).reward < 1.0:
            turn = Turn(f"I choose the {name}.", f"click[{value}]", mistake=True)
            place = way.page + 1 + list(way.options).index(name)
            right = way.options[name]
            return Mistake((turn,), place, f"That was {value}; the instruction asks for {right}.")
    return None
