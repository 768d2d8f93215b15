"""Playing an episode so that every turn can be compared, and what is said where one is wrong.

Verdicts name the task and the turn, never an observation's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.envs.conformance.process import Standing
from rro_sdk.types import Observation, Task


class Broken(Exception):
    """The rule does not hold; the message says where."""


class NotTried(Exception):
    """There was nothing to hold the rule against; the message says why."""


@dataclass(frozen=True)
class Bench:
    """What is checked, with what, and what ran before."""

    env: Environment
    walks: tuple[tuple[Task, tuple[str, ...]], ...]
    concurrency: int
    max_block_s: float
    max_observation: int
    before: Standing


@dataclass(frozen=True, slots=True)
class Seen:
    """One turn as it must come back: the observation, and what the limit would score after it."""

    observation: Observation
    limit_outcome: float | None


async def step(bench: Bench, episode: Episode, command: str, where: str) -> Seen:
    observation = cast(object, await episode.step(command))
    if not isinstance(observation, Observation):
        raise Broken(f"{where}: step gave a {type(observation).__name__}, not an Observation")
    text = cast(object, observation.text)
    if not isinstance(text, str):
        raise Broken(f"{where}: the observation's text is a {type(text).__name__}")
    if len(text) > bench.max_observation:
        raise Broken(f"{where}: an observation of {len(text)} characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Broken(f"{where}: the observation holds a lone surrogate, which no journal can keep") from None
    return Seen(observation, None if observation.done else limit_outcome(episode, where))


def limit_outcome(episode: Episode, where: str) -> float:
    outcome = cast(object, episode.limit_outcome())
    if isinstance(outcome, bool) or not isinstance(outcome, int | float) or not 0.0 <= outcome <= 1.0:
        shown = outcome if isinstance(outcome, int | float) else type(outcome).__name__
        raise Broken(f"{where}: limit_outcome is {shown}, not a number in [0, 1]")
    return float(outcome)


async def play(
    bench: Bench, episode: Episode, task: Task, commands: Sequence[str], turn: int = 0
) -> list[Seen]:
    """Play until the end of the commands or of the episode."""
    seen: list[Seen] = []
    for offset, command in enumerate(commands, 1):
        seen.append(await step(bench, episode, command, at(task, turn + offset)))
        if seen[-1].observation.done:
            break
    return seen


async def fresh(bench: Bench, task: Task, commands: Sequence[str]) -> tuple[str, list[Seen]]:
    """(opening, turns) of a new episode, closed again."""
    episode = await bench.env.start(task)
    try:
        return episode.opening, await play(bench, episode, task, commands)
    finally:
        await episode.close()


def at(task: Task, turn: int) -> str:
    return f"task {task.id!r}, turn {turn}"


def same(first: Sequence[Seen], second: Sequence[Seen], task: Task, turn: int, what: str) -> None:
    for offset, (one, other) in enumerate(zip(first, second, strict=False), 1):
        if one != other:
            part = "observations" if one.observation != other.observation else "limit outcomes"
            raise Broken(f"{at(task, turn + offset)}: {part} differ {what}")
    if len(first) != len(second):
        raise Broken(
            f"{at(task, turn + min(len(first), len(second)))}: ends in one and not in the other {what}"
        )


def lasting(commands: Sequence[str], reference: Sequence[Seen]) -> list[str]:
    """The commands of a walk before the one that ends it."""
    return list(commands[: len(reference) - 1 if reference and reference[-1].observation.done else None])
