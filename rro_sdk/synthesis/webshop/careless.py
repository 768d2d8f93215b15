"""Buyers who do not choose what they were asked to choose."""

from __future__ import annotations

from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.synthesis.experts import Turn
from rro_sdk.synthesis.webshop.generate import SyntheticGoal


def careless(env: WebShop, goal: SyntheticGoal) -> tuple[Turn, ...] | None:
    """The expert's turns without the choice of options; None where there is none to leave out."""
    opened = max(place for place, turn in enumerate(goal.expert) if _opens(env, turn))
    *chosen, purchase = goal.expert[opened + 1 :]
    return (*goal.expert[: opened + 1], purchase) if chosen else None


def _opens(env: WebShop, turn: Turn) -> bool:
    name = turn.command.removeprefix("click[").removesuffix("]")
    return env.catalogue.product(name) is not None
