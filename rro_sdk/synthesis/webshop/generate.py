"""Making goals: wishes that products fulfil, kept when a buyer can be shown the way to a reward of 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import msgspec

from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.envs.webshop.experts import plan, script
from rro_sdk.envs.webshop.goals import NO_LIMIT, Goal, goal_for, price_limit
from rro_sdk.envs.webshop.products import NO_ATTRIBUTES, Product
from rro_sdk.errors import ConfigError
from rro_sdk.synthesis.difficulty import Difficulty
from rro_sdk.synthesis.experts import Turn
from rro_sdk.synthesis.settings import MakingSettings, splits_of
from rro_sdk.synthesis.webshop.difficulty import difficulty
from rro_sdk.synthesis.webshop.mistakes import mistake, with_mistake
from rro_sdk.synthesis.webshop.wording import instruction
from rro_sdk.types import Task

SplitBy = Literal["question", "product"]

MOST_ATTRIBUTES = 3
"""That a goal asks for; more are seldom in the title and few searches find them together."""

LIMITED = 0.7
"""Share of the goals that have a price limit."""

PATIENCE = 20
"""Rounds over the products that give nothing new, after which the catalogue has no more goals."""


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings(MakingSettings):
    """What is made; the products take turns, in an order drawn from the seed.

    Attributes:
        split: "question" puts no wish (product, attributes and options) into two parts; "product" no product.
    """

    split: SplitBy = "question"


class SyntheticGoal(Goal, frozen=True, kw_only=True):
    """One line of a tasks file: a goal, and what SFT and statistics read beside it."""

    id: str
    hardness: Difficulty
    template: str
    split: str
    split_by: SplitBy
    expert: tuple[Turn, ...]

    @property
    def goal(self) -> Goal:
        """The goal alone."""
        return Goal(**{name: getattr(self, name) for name in Goal.__struct_fields__})

    @property
    def as_task(self) -> Task:
        """As the environment's own loader makes it."""
        return self.goal.task(self.goal_idx or 0)

    @property
    def wish(self) -> tuple[object, ...]:
        """What is asked for, whatever the words and the price."""
        options = self.goal_options
        chosen = tuple(sorted(options.items() if isinstance(options, dict) else options))
        return (self.asin, tuple(sorted(self.attributes)), chosen)


@dataclass(frozen=True)
class Synthesis:
    """Goals in the order in which they were made, and why drafts were thrown away."""

    goals: tuple[SyntheticGoal, ...]
    thrown_away: dict[str, int]


def synthesize(env: WebShop, settings: SynthesisSettings) -> Synthesis:
    """Make goals for the products of a shop.

    Each has a way to a reward of 1 within the step limit, by searches that say no more than the goal does.
    No instruction occurs twice, and no wish.

    Raises:
        ConfigError: a split with an empty part, or fewer than `n` goals to be had.
    """
    thrown: Counter[str] = Counter()
    made = _made(env, settings, thrown)
    if len(made) < settings.n:
        raise ConfigError(
            f"the {len(env.catalogue)} products give {len(made)} different goals, not {settings.n}: "
            "ask for fewer, or give a larger shop"
        )
    keys = [goal.asin if settings.split == "product" else repr(goal.wish) for goal in made]
    splits = splits_of(keys, settings)
    goals = [msgspec.structs.replace(goal, split=split) for goal, split in zip(made, splits, strict=True)]
    return Synthesis(tuple(goals), dict(thrown))


def _made(env: WebShop, settings: SynthesisSettings, thrown: Counter[str]) -> list[SyntheticGoal]:
    rng = Random(f"{settings.seed}/webshop")
    size = len(env.catalogue)
    # Few goals out of a large shop do not put all of it in order.
    positions = rng.sample(range(size), min(size, 4 * settings.n))
    seen: set[object] = set()
    made: list[SyntheticGoal] = []
    fruitless = 0
    while fruitless < PATIENCE and len(made) < settings.n:
        before = len(made)
        for position in positions:
            goal = _goal(env, env.catalogue.products[position], settings, rng, seen, thrown)
            if goal is not None:
                number = len(made)
                made.append(msgspec.structs.replace(goal, goal_idx=number, id=goal.goal.task(number).id))
            if len(made) == settings.n:
                break
        fruitless = 0 if len(made) > before else fruitless + 1
    return made


def _goal(
    env: WebShop,
    product: Product,
    settings: SynthesisSettings,
    rng: Random,
    seen: set[object],
    thrown: Counter[str],
) -> SyntheticGoal | None:
    """A goal on that product which is not in `seen`, and joins it."""
    usable = [attribute for attribute in product.attributes if attribute not in NO_ATTRIBUTES]
    if not usable or not product.nouns:
        thrown["nothing to ask for"] += 1
        return None
    draft = _draft(product, usable, settings, rng)
    text = " ".join(draft.instruction_text.lower().split())
    if text in seen or draft.wish in seen:
        thrown["asked before"] += 1
        return None
    seen |= {text, draft.wish}  # whether there is a way or not, once is enough
    # The buyer does not know the title, so no search may say it.
    way = plan(env, msgspec.structs.replace(draft.goal, name=""))
    if way is None:
        thrown["no way to 1"] += 1
        return None
    turns = tuple(Turn(thought, command) for thought, command in script(way))
    found = mistake(env, draft, way, rng) if rng.random() < settings.mistakes else None
    return msgspec.structs.replace(
        draft, hardness=difficulty(draft, way), expert=with_mistake(turns, found) if found else turns
    )


def _draft(
    product: Product, usable: Sequence[str], settings: SynthesisSettings, rng: Random
) -> SyntheticGoal:
    """A wish that the product fulfils: some attributes, some options, perhaps a price limit."""
    attributes = rng.sample(usable, rng.randint(1, min(MOST_ATTRIBUTES, len(usable))))
    able = [name for name, values in product.options.items() if values]
    names = sorted(rng.sample(able, rng.randint(0, len(able))))
    options = {name: rng.choice(product.options[name]) for name in names}
    limit = price_limit(product.price, rng)[0] if rng.random() < LIMITED else NO_LIMIT
    text, wording = instruction(rng, product.query, attributes, options, limit)
    goal = goal_for(product, instruction=text, attributes=attributes, options=options, limit=limit)
    fields = {name: getattr(goal, name) for name in Goal.__struct_fields__}
    return SyntheticGoal(
        **fields, id="", hardness="easy", template=wording, split="", split_by=settings.split, expert=()
    )
