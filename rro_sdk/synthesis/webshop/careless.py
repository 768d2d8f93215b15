"""Demonstrations by buyers who do not choose what they were asked to choose.

People do buy like that (of WebShop's own tasks human experts get 59 % wholly right, arXiv 2207.01206), and a
policy that imitates them learns what preferences can put right: a control where a gain is there to be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.synthesis.experts import Played, Turn, play
from rro_sdk.synthesis.webshop.generate import SynthesisSettings, SyntheticGoal


def careless(env: WebShop, goal: SyntheticGoal) -> tuple[Turn, ...] | None:
    """The expert's turns without the choice of options; None where there is none to leave out."""
    opened = max(place for place, turn in enumerate(goal.expert) if _opens(env, turn))
    *chosen, purchase = goal.expert[opened + 1 :]
    return (*goal.expert[: opened + 1], purchase) if chosen else None


async def demonstrations(
    env: WebShop, goals: Sequence[SyntheticGoal], played: Sequence[Played], settings: SynthesisSettings
) -> list[Played]:
    """What SFT is shown: a share of `settings.careless` of those experts who choose options do not.

    Args:
        env: where they are played.
        goals: with their experts.
        played: the experts' episodes, in the same order.
        settings: the share, and the seed by which the careless are drawn.
    """
    rng = Random(f"{settings.seed}/webshop/careless")
    shown = list(played)
    async with env:
        for place, goal in enumerate(goals):
            without = careless(env, goal)
            if without is not None and rng.random() < settings.careless:
                shown[place] = await play(env, goal.as_task, without, at_least=0.0)
    return shown


def _opens(env: WebShop, turn: Turn) -> bool:
    name = turn.command.removeprefix("click[").removesuffix("]")
    return env.catalogue.product(name) is not None
