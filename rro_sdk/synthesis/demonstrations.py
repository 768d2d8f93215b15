"""What SFT is shown: experts, or for some tasks people who do what is asked in part.

People do. Of WebShop's own tasks human experts get 59 % wholly right (arXiv 2207.01206), and a policy that
imitates them learns what preferences can put right: a control where a gain is there to be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import NamedTuple

from rro_sdk.envs.base import Environment
from rro_sdk.synthesis.experts import Played, Turn, play
from rro_sdk.synthesis.settings import MakingSettings
from rro_sdk.types import Task


class Script(NamedTuple):
    """How a task is done.

    Attributes:
        task: the task.
        expert: turns that score 1.
        careless: turns that leave out a part of what is asked; None where there is none to leave out.
    """

    task: Task
    expert: Sequence[Turn]
    careless: Sequence[Turn] | None


async def demonstrate(env: Environment, scripts: Iterable[Script], settings: MakingSettings) -> list[Played]:
    """Play every script, one after the other, and close the environment.

    Args:
        env: where they are played.
        scripts: of the tasks; every expert is played, whoever is shown.
        settings: `careless`, the share that is shown done carelessly of the tasks where that scores less
            than 1, and the seed by which they are drawn.

    Raises:
        DataError: an expert does not end with outcome 1.
    """
    rng = Random(f"{settings.seed}/{env.name}/careless")
    shown = []
    async with env:
        for script in scripts:
            played = await play(env, script.task, script.expert)
            if script.careless is not None and rng.random() < settings.careless:
                other = await play(env, script.task, script.careless, at_least=0.0)
                played = other if outcome_of(other) < 1.0 else played
            shown.append(played)
    return shown


def outcome_of(played: Played) -> float:
    """What it scored, in [0, 1]."""
    return played.steps[-1].observation.outcome or 0.0
