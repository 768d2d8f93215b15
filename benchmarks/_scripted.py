"""A world of one guess and replies that cost nothing: what is left is the SDK, with few rows a pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.methods import RisingReward
from rro_sdk.policy import ReActTurns
from rro_sdk.types import Action, Message, Observation, Proposal, Task, Usage

METHOD = RisingReward(rollouts=1, max_candidates=2)
GUESSES = 101

_ACTIONS = [Action(f"Action: guess {number}", f"guess {number}") for number in range(GUESSES)]
_USAGE = Usage(200, 180, 20)


def guessing_tasks(first: int, count: int) -> Iterator[Task]:
    return (Task(f"t{number:08}", "make a guess") for number in range(first, first + count))


class Guess(Environment):
    """A guess is worth its number over the highest, and ends the episode."""

    name = "guess"
    max_steps = 1
    instructions = "Say guess and a number."

    async def start(self, task: Task) -> Episode:
        return _Guessing()


class _Guessing(Episode):
    opening = "begin"

    async def step(self, command: str) -> Observation:
        return Observation("guessed", done=True, outcome=int(command.removeprefix("guess ")) / (GUESSES - 1))

    def limit_outcome(self) -> float:
        return 0.0

    async def fork(self) -> Episode:
        return self


class ScriptedGuesses(ReActTurns):
    """The guess is the seed's."""

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        return Proposal(_ACTIONS[seed % GUESSES], _USAGE, ("v",), "scripted")
