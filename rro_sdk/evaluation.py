"""How well a policy does: one trajectory per task, mean outcome with an interval."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from rro_sdk._concurrency import all_of
from rro_sdk._numbers import exact_mean
from rro_sdk.draws import DrawKey
from rro_sdk.envs.base import Environment
from rro_sdk.errors import ConfigError
from rro_sdk.policy import Policy
from rro_sdk.rollout import Actor, Cost
from rro_sdk.stats import bootstrap_interval
from rro_sdk.types import Task, Trajectory, Usage


class Evaluation(msgspec.Struct, frozen=True):
    """Mean outcome in [0, 1] over `tasks` tasks, with its 95 % bootstrap interval over tasks."""

    tasks: int
    mean_outcome: float
    interval: tuple[float, float]
    solved: int
    turns: int
    tokens: Usage
    weight_versions: tuple[str, ...]


async def evaluate(
    env: Environment, policy: Policy, tasks: Sequence[Task], *, seed: int = 0, at_once: int = 16
) -> Evaluation:
    """Play each task once.

    Args:
        env: the environment.
        policy: the policy; give it temperature 0 for a greedy evaluation.
        tasks: at least one.
        seed: seed of every draw.
        at_once: tasks in flight.

    Raises:
        ConfigError: no tasks.
        RROError: a fault of the servers or the environment.
    """
    if not tasks:
        raise ConfigError("there are no tasks to evaluate on; give at least one")
    actor, cost, gate = Actor(env, policy), Cost(), asyncio.Semaphore(at_once)

    async def play(task: Task) -> Trajectory:
        async with gate:
            start = await actor.start(task)
            try:
                return await actor.roll_out(start, DrawKey(seed, task.id, rollout=0), cost)
            finally:
                await start.episode.close()

    outcomes = [trajectory.outcome for trajectory in await all_of(play(task) for task in tasks)]
    return Evaluation(
        tasks=len(tasks),
        mean_outcome=exact_mean(outcomes),
        interval=bootstrap_interval(outcomes),
        solved=sum(outcome >= 1.0 for outcome in outcomes),
        turns=cost.turns,
        tokens=cost.usage,
        weight_versions=tuple(sorted(cost.weight_versions)),
    )
