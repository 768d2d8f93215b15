"""Expert trajectories: a script of turns, played in the environment, and the rows that SFT trains on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rro_sdk.envs.base import Environment
from rro_sdk.errors import DataError
from rro_sdk.policy import ReActTurns
from rro_sdk.types import Action, Message, Step, Task


class Turn(msgspec.Struct, frozen=True):
    """One turn of a script. `mistake` marks a wrong one that the next turns put right."""

    thought: str
    command: str
    mistake: bool = False

    @property
    def text(self) -> str:
        """The reply, in the form that `prompts.react` reads."""
        return f"Thought: {self.thought}\nAction: {self.command}"


class Played(msgspec.Struct, frozen=True):
    """A script as it went: the messages before its first turn, its steps, which of them are mistakes."""

    opening: tuple[Message, ...]
    steps: tuple[Step, ...]
    mistakes: tuple[bool, ...]


async def play(env: Environment, task: Task, script: Sequence[Turn], *, at_least: float = 1.0) -> Played:
    """Run a script from the start; every observation is the environment's own.

    Args:
        env: where it is run.
        task: what it is for.
        script: the turns.
        at_least: outcome that it must end with.

    Raises:
        DataError: it does not end the episode with such an outcome, or is longer than the environment allows.
    """
    if not 0 < len(script) <= env.max_steps:
        raise DataError(f"task {task.id!r}: its expert takes {len(script)} turns of {env.max_steps}")
    episode = await env.start(task)
    steps: list[Step] = []
    try:
        opening = ReActTurns().open(env, episode.opening)
        for turn in script:
            observation = await episode.step(turn.command)
            steps.append(Step(Action(turn.text, turn.command), observation))
            if observation.done:
                break
    finally:
        await episode.close()
    outcome = steps[-1].observation.outcome
    if len(steps) < len(script) or outcome is None or outcome < at_least:
        raise DataError(f"task {task.id!r}: its expert scores {outcome}, not {at_least:g}")
    return Played(opening, tuple(steps), tuple(turn.mistake for turn in script))


def training_rows(played: Played) -> list[dict[str, list[Message]]]:
    """One SFT row a turn (`trainers.rows`): the history as prompt, the turn as completion.

    A mistake is history for the turns that follow it and no row of its own: what is shown there is how
    to put it right, not how to make it.
    """
    policy, messages, rows = ReActTurns(), played.opening, []
    for step, mistake in zip(played.steps, played.mistakes, strict=True):
        if not mistake:
            rows.append({"prompt": list(messages), "completion": [Message("assistant", step.action.text)]})
        messages = policy.extend(messages, step)
    return rows
