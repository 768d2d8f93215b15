"""Expert turns for supervised fine-tuning: search, open, choose, buy, and a reward of 1 at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rro_sdk.envs.webshop import pages
from rro_sdk.envs.webshop.demonstrations import turn
from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.envs.webshop.goals import Goal, goal_of
from rro_sdk.envs.webshop.products import Product
from rro_sdk.envs.webshop.reward import matching_options
from rro_sdk.envs.webshop.session import read_action
from rro_sdk.errors import DataError
from rro_sdk.types import Action, Step, Task


class Plan(NamedTuple):
    """A way to a reward of 1.

    Attributes:
        query: what to search for.
        page: of the results on which the product is, from 1.
        product: to buy; the first one found that is worth 1, not always the goal's own.
        options: to choose, by name.
    """

    query: str
    page: int
    product: Product
    options: dict[str, str]

    @property
    def steps(self) -> int:
        return 1 + (self.page - 1) + 1 + len(self.options) + 1


def plan(env: WebShop, goal: Goal) -> Plan | None:
    """The first way to a reward of 1 within the step limit, None where there is none."""
    for query in _queries(goal):
        for rank, asin in enumerate(env.catalogue.find(query)):
            product = env.catalogue.product(asin)
            if product is None:
                continue
            options = choices(product, goal, fixed=env.settings.fixed)
            found = Plan(query, rank // pages.PAGE_SIZE + 1, product, options)
            if found.steps <= env.max_steps and env.judge(goal, product, options).reward == 1.0:
                return found
    return None


def solvable(env: WebShop, goals: Iterable[Goal]) -> Iterator[Goal]:
    """The goals that `expert_turns` can bring to a reward of 1, for sets of tasks without hopeless ones."""
    return (goal for goal in goals if plan(env, goal) is not None)


async def expert_turns(env: WebShop, task: Task) -> tuple[Step, ...]:
    """Play a task to a reward of 1, and check that it gets there.

    Args:
        env: where it is played; observations are this environment's.
        task: the task.

    Returns:
        The turns, each with a short thought before its command; the last one buys.

    Raises:
        DataError: the task has no goal, its product is not in the shop, or nothing that a search finds is
            worth 1 (the original's goals include some that nothing can meet).
    """
    goal = goal_of(task)
    episode = await env.start(task)
    way = plan(env, goal)
    if way is None:
        raise DataError(f"task {task.id!r}: no search leads to a product that scores 1")
    steps = []
    try:
        for thought, command in script(way):
            observation = await episode.step(command)
            steps.append(Step(Action(turn(thought, command), command), observation))
    finally:
        await episode.close()
    if steps[-1].observation.outcome != 1.0:
        raise DataError(f"task {task.id!r}: its plan scores {steps[-1].observation.outcome}, not 1")
    return tuple(steps)


def script(way: Plan) -> Iterator[tuple[str, str]]:
    """The turns of a plan: a thought and a command each."""
    yield "I search for the kind of product with what it must have.", f"search[{way.query}]"
    for _ in range(way.page - 1):
        yield "Nothing on this page fits in all, so I look at the next.", "click[next >]"
    yield (
        f"{way.product.asin} looks right in kind and price, so I open it.",
        f"click[{way.product.asin}]",
    )
    for name, value in way.options.items():
        yield f"The instruction asks for {value}, so I choose this {name}.", f"click[{value}]"
    yield "Product, options and price fit the instruction, so I buy it.", "click[buy now]"


def _queries(goal: Goal) -> Iterator[str]:
    """Searches in one line and without brackets: by what the goal asks for, and by title where that fails."""
    options = goal.goal_options.values() if isinstance(goal.goal_options, dict) else goal.goal_options
    asked = (
        (*goal.attributes, goal.query, *options),
        (*goal.attributes, goal.query),
        (goal.instruction_text,),
    )
    for words in (*asked, (goal.name,)):
        yield " ".join(" ".join(words).replace("[", " ").replace("]", " ").split()).lower()


def choices(product: Product, goal: Goal, *, fixed: bool) -> dict[str, str]:
    """Of each option the value that the goal asks for, where there is one that can be clicked."""
    wanted = goal.goal_options
    chosen = {}
    for name, offered in product.options.items():
        values = [value for value in offered if _can_be_clicked(product, name, value)]
        if isinstance(wanted, dict) and wanted.get(name) in values:
            chosen[name] = wanted[name]
            continue
        one_by_one = (
            [{key: value} for key, value in wanted.items()]
            if isinstance(wanted, dict)
            else [[value] for value in wanted]
        )
        for single in one_by_one:
            fitting = [value for value in values if matching_options([value], single, fixed=fixed)]
            if fitting:
                chosen[name] = fitting[0]
                break
    return chosen


def _can_be_clicked(product: Product, name: str, value: str) -> bool:
    """Whether a click on that text chooses it: not where a button or a later option has the same text."""
    *_, owner = (each for each, values in product.options.items() if value in values)
    return owner == name and value not in _BUTTONS and read_action(f"click[{value}]") == ("click", value)


_BUTTONS = frozenset(
    text.lower()
    for text in (
        pages.SEARCH,
        pages.BACK_TO_SEARCH,
        pages.NEXT_PAGE,
        pages.PREVIOUS_PAGE,
        pages.BUY_NOW,
        *pages.SUB_PAGES,
    )
)
