"""Goals: what a buyer wants, made from products as the original makes them, or read from a file."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.envs.webshop.products import Annotation, Product, Products, read_lines
from rro_sdk.errors import DataError
from rro_sdk.types import Task

PRICE_LIMITS = tuple(10.0 * step for step in range(1, 100))
NO_LIMIT = 1_000_000
"""Dollars that stand for no price limit."""

_LIMIT = re.compile(r", and price lower than (\d+\.\d\d) dollars$")
_BETWEEN = re.compile(r"(?:, |^)(?:with |for )?| with | for ")

SHUFFLE_SEED = 233
"""The original puts its goals into this order, whatever its other seeds."""


class Goal(msgspec.Struct, frozen=True):
    """One thing to buy.

    Attributes:
        asin, category, query, product_category, name: of the product that the goal was made from.
        instruction_text: what the agent is told.
        attributes: what the bought product must have, at least one.
        price_upper: dollars that it may cost.
        goal_options: what must have been chosen: values by name, or values alone (goals by people).
        goal_idx: number among the goals of its source.
        weight: how often the original draws it, relative to others.
    """

    asin: str
    instruction_text: str
    attributes: tuple[str, ...]
    goal_options: dict[str, str] | tuple[str, ...]
    query: str
    product_category: str
    name: str
    price_upper: float = NO_LIMIT
    category: str = ""
    goal_idx: int | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.attributes:
            raise ValueError("field `attributes` must hold at least one attribute")

    def task(self, number: int) -> Task:
        """The goal as a task; `number` where it has none of its own."""
        index = number if self.goal_idx is None else self.goal_idx
        return Task(f"webshop-{index:05d}", self.instruction_text, msgspec.to_builtins(self))


class HumanInstruction(msgspec.Struct):
    """What a person wrote for a product."""

    instruction: str
    instruction_attributes: list[str]
    instruction_options: list[str]


def goal_of(task: Task) -> Goal:
    """The goal that a task holds.

    Raises:
        DataError: its data is none.
    """
    try:
        return msgspec.convert(task.data, Goal)
    except msgspec.ValidationError as error:
        raise DataError(f"task {task.id!r} is not a WebShop goal: {error}") from error


def read_goals(path: Path) -> list[Goal]:
    """Goals of a JSON Lines file, in the fields of `Goal`.

    Raises:
        ConfigError: the file cannot be read.
        DataError: a line is not a goal; the message names file, line and field.
    """
    return [
        goal if goal.goal_idx is not None else msgspec.structs.replace(goal, goal_idx=number - 1)
        for number, goal in read_lines(path, Goal)
    ]


def synthetic_goals(
    products: Iterable[Product], annotations: Mapping[str, Annotation], rng: random.Random
) -> list[Goal]:
    """The original's synthetic goals: each annotated product with every combination of its options.

    With a full catalogue and the generator that also drew its prices these are the original's goals, in
    its order.

    Args:
        products: in the order of their file.
        annotations: by asin, with instruction and its attributes.
        rng: draws the price limits.
    """
    goals: list[Goal] = []
    for product in products:
        noted = annotations.get(product.asin)
        if noted is None or noted.instruction is None or not noted.instruction_attributes:
            continue
        limit, said = price_limit(product.price, rng)
        names = sorted(product.options)
        for values in itertools.product(*(product.options[name] for name in names)):
            chosen = dict(zip(names, values, strict=True))
            goals.append(
                goal_for(
                    product,
                    instruction=noted.instruction + options_text(chosen) + said,
                    attributes=noted.instruction_attributes,
                    options=chosen,
                    limit=limit,
                )
            )
    return shuffled(_weighted(goals))


def human_goals(
    products: Iterable[Product],
    instructions: Mapping[str, Sequence[HumanInstruction]],
    rng: random.Random,
) -> list[Goal]:
    """The original's goals in people's words; those that name no attribute are left out."""
    goals = []
    for product in products:
        for said in instructions.get(product.asin, ()):
            if said.instruction_attributes:
                limit, price = price_limit(product.price, rng)
                goals.append(
                    goal_for(
                        product,
                        instruction=said.instruction.strip(".") + price,
                        attributes=said.instruction_attributes,
                        options=tuple(said.instruction_options),
                        limit=limit,
                    )
                )
    return shuffled(goals)


def goals_from(products: Products, *, count: int, seed: int = 0) -> list[Goal]:
    """Goals for any products that have attributes: a new wording, one combination of options each.

    Products are visited in an order drawn from the seed, again and again until there are enough goals or a
    round brings nothing new.

    Args:
        products: what can be bought.
        count: how many at most.
        seed: the same gives the same goals.
    """
    rng = random.Random(seed)
    # Few goals out of a large catalogue do not put all of it in order.
    positions = rng.sample(range(len(products)), min(len(products), count))
    made: list[Goal] = []
    seen: set[str] = set()
    found = True
    while found and len(made) < count:
        found = False
        for position in positions:
            goal = _drawn_goal(products[position], rng)
            if goal is not None and goal.instruction_text not in seen:
                seen.add(goal.instruction_text)
                made.append(msgspec.structs.replace(goal, goal_idx=len(made)))
                found = True
                if len(made) == count:
                    break
    return made


def price_limit(price: float, rng: random.Random) -> tuple[float, str]:
    """A price that the buyer will not exceed, a little above what the product costs, and how that is said."""
    above = [limit for limit in PRICE_LIMITS if limit > price][:4]
    if len(above) < 2:
        return NO_LIMIT, ""
    limit = max(rng.sample(above, 2))
    return limit, f", and price lower than {limit:.2f} dollars"


def options_text(options: Mapping[str, str]) -> str:
    return " with " + ", and ".join(f"{name}: {value}" for name, value in options.items()) if options else ""


def goal_for(
    product: Product,
    *,
    instruction: str,
    attributes: Sequence[str],
    options: dict[str, str] | tuple[str, ...],
    limit: float,
) -> Goal:
    """A goal that `product` was the model for."""
    return Goal(
        asin=product.asin,
        instruction_text=instruction,
        attributes=tuple(attributes),
        goal_options=options,
        query=product.query,
        product_category=product.product_category,
        name=product.title,
        price_upper=limit,
        category=product.category,
    )


def shuffled(goals: list[Goal]) -> list[Goal]:
    """In the original's order, numbered."""
    mixed = list(goals)
    random.Random(SHUFFLE_SEED).shuffle(mixed)
    return [msgspec.structs.replace(goal, goal_idx=number) for number, goal in enumerate(mixed)]


def _weighted(goals: list[Goal]) -> list[Goal]:
    """Goals with common attributes are drawn less often."""
    counts = Counter(attribute for goal in goals for attribute in goal.attributes)
    return [
        msgspec.structs.replace(
            goal,
            weight=sum(1.0 / counts[attribute] for attribute in goal.attributes) / len(goal.attributes),
        )
        for goal in goals
    ]


def _drawn_goal(product: Product, rng: random.Random) -> Goal | None:
    usable = [attribute for attribute in product.attributes if attribute != "DUMMY_ATTR"]
    if not usable or not product.nouns:
        return None
    wanted = rng.sample(usable, rng.randint(1, min(3, len(usable))))
    options = {name: rng.choice(values) for name, values in sorted(product.options.items()) if values}
    limit, said = price_limit(product.price, rng)
    start = f"I am looking for {product.query}, {' and '.join(wanted)}"
    data: dict[str, Any] = {"attributes": wanted, "options": options, "limit": limit}
    return goal_for(product, instruction=start + options_text(options) + said, **data)


def goal_from_instruction(text: str, products: Iterable[Product]) -> Goal | None:
    """The synthetic goal that an instruction of the original's wording was made from.

    Args:
        text: "Find me ATTRIBUTES QUERY with ATTRIBUTES for ... with OPTIONS, and price lower than ...".
        products: among them the goal's.

    Returns:
        The goal, None where no product or more than one kind of goal fits.
    """
    said = _LIMIT.search(text)
    body = text[: said.start()] if said else text
    fitting = [goal for product in products if (goal := _fitting(body, text, product)) is not None]
    limit = float(said[1]) if said else NO_LIMIT
    # Two products of the same title, kind and wording are worth the same.
    if len({(goal.name, goal.query, goal.product_category, goal.attributes) for goal in fitting}) != 1:
        return None
    return msgspec.structs.replace(fitting[0], price_upper=limit)


def _fitting(body: str, text: str, product: Product) -> Goal | None:
    """The goal on this product, without its limit, if the instruction can be about it."""
    if product.query not in body:
        return None
    names = sorted(product.options)
    for values in itertools.product(*(product.options[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        ending = options_text(chosen)
        if not body.endswith(ending):
            continue
        before, _, after = body[: len(body) - len(ending)].removeprefix("Find me ").partition(product.query)
        listed = [part for part in _BETWEEN.split(f"{before.strip()}, {after.strip()}") if part]
        if listed and set(listed) <= set(product.attributes):
            return goal_for(product, instruction=text, attributes=listed, options=chosen, limit=NO_LIMIT)
    return None
