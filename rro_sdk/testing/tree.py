"""A tree of moves in which every state's true value is known, so that a pair can be called right or wrong.

Each task is a tree of its own: `depth` moves, one of `branching` at each, and an outcome at every leaf. The
world is deterministic, the policy is not: it takes each move with equal chance, by the draw's seed. A state
is so worth the mean outcome of the leaves below it, which is counted exactly (in hundredths), leaves first.

How the leaves come about: a state's children get values of mean v and variance `spread` v (1 - v) around its
own v, down to the leaves, whose outcome is 0 or 1 with the chance of their value (or, `dense`, the value
itself). With few moves the last turns differ more than `spread` says, since few leaves are an uneven sample;
`TreeWorld` has the tree as it came out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.envs.registry import Suite
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.fingerprint import digest_of
from rro_sdk.planner.worlds import Place, beta_around
from rro_sdk.policy import ReActTurns
from rro_sdk.prompts import react
from rro_sdk.types import Message, Observation, PreferencePair, Proposal, Task, Usage

MOST_LEAVES = 200_000
UNIT = 100
"""Outcomes are counted in hundredths: sums of whole numbers are exact, so equal values compare equal."""

CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """What trees look like.

    Attributes:
        depth: moves of an episode.
        branching: moves to choose from at each turn.
        success_rate: mean outcome of the policy, over tasks, in [0, 1].
        spread: how much moves differ, in [0, 1]: 0 leaves only what chance puts at the leaves.
        task_spread: how much tasks differ, in the same way.
        dense: outcomes between 0 and 1, in hundredths; else 0 or 1.
        seed: of the trees, which no run's seed changes.

    Raises:
        ConfigError: a setting out of its range; the field is named.
    """

    depth: int = 4
    branching: int = 8
    success_rate: float = 0.4
    spread: float = 0.2
    task_spread: float = 0.0
    dense: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("depth", "branching"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"tree {name} must be a whole number of at least 1, not {value!r}")
        if self.branching**self.depth > MOST_LEAVES:
            raise ConfigError(
                f"a tree of depth {self.depth} and branching {self.branching} has more than {MOST_LEAVES:,}"
                " leaves; choose smaller ones"
            )
        for name in ("success_rate", "spread", "task_spread"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"tree {name} must be in [0, 1], not {getattr(self, name)}")

    def leaves_below(self, level: int) -> int:
        """Leaves below a state that so many moves lead to."""
        return int(self.branching ** (self.depth - level))


Levels = tuple[tuple[int, ...], ...]
"""Outcomes below each state in hundredths, summed; level d has its states in the order of their moves."""


@lru_cache(maxsize=4096)
def grow(settings: TreeSettings, task_id: str) -> Levels:
    """The tree of one task. Pure, so remembered."""
    rng, b = random.Random(f"{settings.seed}\x00{task_id}"), settings.branching
    values = [beta_around(settings.success_rate, settings.task_spread, rng)]
    for _ in range(settings.depth):
        values = [beta_around(value, settings.spread, rng) for value in values for _ in range(b)]
    leaves = [round(UNIT * value) if settings.dense else UNIT * int(rng.random() < value) for value in values]
    levels = [tuple(leaves)]
    for _ in range(settings.depth):
        below = levels[-1]
        levels.append(tuple(sum(below[at : at + b]) for at in range(0, len(below), b)))
    return tuple(reversed(levels))


def node_of(moves: Iterable[int], branching: int) -> int:
    """The place of a state in its level."""
    node = 0
    for move in moves:
        node = node * branching + move
    return node


class TreeEnv(Environment):
    """The trees as an environment; see the module. Without I/O.

    Args:
        settings: what the trees look like.

    Attributes:
        moves: each move by its command.
    """

    name = "tree"

    def __init__(self, settings: TreeSettings | None = None) -> None:
        self.settings = settings or TreeSettings()
        self.max_steps = self.settings.depth
        self.moves = {f"move {move}": move for move in range(self.settings.branching)}
        self.instructions = (
            f"You make {self.settings.depth} moves, one a turn. A move is the word move and a number from 0"
            f" to {self.settings.branching - 1}, such as: move 0."
        )
        self.data_digest = digest_of(repr(self.settings))

    async def start(self, task: Task) -> Episode:
        return _TreeEpisode(self, task)

    def sample_commands(self, task: Task) -> Sequence[str]:
        return [f"move {move}" for move in self.expert(task.id)]

    def value(self, task_id: str, moves: Sequence[int]) -> float:
        """What the policy gets on average from the state that these moves lead to; of a leaf, its outcome.

        Raises:
            DataError: there is no such state.
        """
        b, depth = self.settings.branching, self.settings.depth
        if len(moves) > depth or not all(0 <= move < b for move in moves):
            raise DataError(f"task {task_id} has no state after the moves {list(moves)}")
        total = grow(self.settings, task_id)[len(moves)][node_of(moves, b)]
        return total / (UNIT * self.settings.leaves_below(len(moves)))

    def expert(self, task_id: str) -> tuple[int, ...]:
        """The moves to the best leaf, the first of them where several are."""
        leaves, b = grow(self.settings, task_id)[-1], self.settings.branching
        node = max(range(len(leaves)), key=leaves.__getitem__)
        moves: list[int] = []
        for _ in range(self.settings.depth):
            node, move = divmod(node, b)
            moves.append(move)
        return tuple(reversed(moves))

    def expert_replies(self, task_id: str) -> list[str]:
        """The expert's moves as a policy would say them."""
        return [reply_of(move) for move in self.expert(task_id)]

    def values_of(self, pair: PreferencePair) -> tuple[float, float]:
        """True values of a pair's sides: what the policy gets after the first move in which they differ.

        Where single actions are compared, that is after those. Where whole trajectories are, what follows
        the first difference is the policy's luck, and no merit of the move.

        Raises:
            DataError: both sides make the same moves.
        """
        before = moves_in(pair.prompt)
        chosen = (*before, move_in(pair.chosen), *moves_in(pair.chosen_rest))
        rejected = (*before, move_in(pair.rejected), *moves_in(pair.rejected_rest))
        for turn, (one, other) in enumerate(zip(chosen, rejected, strict=False), 1):
            if one != other:
                return self.value(pair.task_id, chosen[:turn]), self.value(pair.task_id, rejected[:turn])
        raise DataError(f"pair {pair.id} has the same moves on both sides")


class _TreeEpisode(Episode):
    def __init__(self, env: TreeEnv, task: Task, moves: tuple[int, ...] = ()) -> None:
        self._env = env
        self._task = task
        self._moves = moves

    @property
    def opening(self) -> str:
        return self._task.instruction

    async def step(self, command: str) -> Observation:
        settings = self._env.settings
        if len(self._moves) == settings.depth:
            raise EnvironmentFault(f"task {self._task.id} has ended; start it again")
        move = self._env.moves.get(command.strip())
        if move is None:
            return Observation(f"No such move. Moves are move 0 to move {settings.branching - 1}.")
        self._moves = (*self._moves, move)
        made = "-".join(map(str, self._moves))
        if len(self._moves) < settings.depth:
            return Observation(f"Made {made}.")
        outcome = self._env.value(self._task.id, self._moves)
        return Observation(f"Made {made}, which is the end.", done=True, outcome=outcome)

    def limit_outcome(self) -> float:
        return 0.0

    async def fork(self) -> Episode:
        return _TreeEpisode(self._env, self._task, self._moves)


class TreePolicy(ReActTurns):
    """Takes each move with equal chance, by the draw's seed alone. Tokens are characters over four."""

    def __init__(self, settings: TreeSettings | None = None) -> None:
        self._moves = (settings or TreeSettings()).branching

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        text = reply_of(seed % self._moves)
        asked = sum(len(message.content) for message in messages)
        return Proposal(
            react.parse(text, "stop"),
            Usage(asked // CHARACTERS_A_TOKEN, 0, len(text) // CHARACTERS_A_TOKEN),
            ("tree",),
        )


def tree_reply(settings: TreeSettings | None = None) -> Callable[..., str]:
    """What a fake server says in place of `TreePolicy`: `FakeSettings(reply=tree_reply())`."""
    moves = (settings or TreeSettings()).branching

    def reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
        return reply_of(((seed or 0) + index) % moves)

    return reply


def reply_of(move: int) -> str:
    return f"Thought: Move {move} looks well.\nAction: move {move}"


def move_in(reply: str) -> int:
    """The move that a reply makes.

    Raises:
        DataError: none.
    """
    command = react.parse(reply, "stop").command or ""
    verb, _, number = command.partition(" ")
    if verb != "move" or not number.isdecimal():
        raise DataError("a reply in a tree makes no move")
    return int(number)


def moves_in(messages: Iterable[Message]) -> tuple[int, ...]:
    """The moves of the assistant's messages."""
    return tuple(move_in(message.content) for message in messages if message.role == "assistant")


def tree_tasks(count: int) -> list[Task]:
    """So many tasks; each has a tree of its own."""
    return [Task(f"t{number}", f"Task {number}: make your moves.") for number in range(count)]


@dataclass(frozen=True, slots=True)
class TreeWorld:
    """The same trees as a world of the planner's (`rro_sdk.planner`): a plan for exactly these tasks.

    Attributes:
        settings: what the trees look like.
        task_ids: the tasks, each as likely as another.
    """

    settings: TreeSettings
    task_ids: tuple[str, ...]

    @property
    def success_rate(self) -> float:
        env = TreeEnv(self.settings)
        return sum(env.value(task_id, ()) for task_id in self.task_ids) / len(self.task_ids)

    @property
    def spread(self) -> float:
        return self.settings.spread

    @property
    def whole(self) -> bool:
        return True

    def start(self, rng: random.Random) -> Place:
        return self._place(rng.randrange(len(self.task_ids)), 0, 0)

    def after(self, place: Place, siblings: Sequence[Place], rng: random.Random) -> Place:
        task, level, node = self._where(place)
        found = self._place(
            task, level + 1, node * self.settings.branching + rng.randrange(self.settings.branching)
        )
        return next((other for other in siblings if other.mark == found.mark), found)

    def outcome(self, place: Place, rng: random.Random) -> float:
        task, level, node = self._where(place)
        leaves = self.settings.leaves_below(level)
        return grow(self.settings, self.task_ids[task])[-1][node * leaves + rng.randrange(leaves)] / UNIT

    def _place(self, task: int, level: int, node: int) -> Place:
        settings = self.settings
        total = grow(settings, self.task_ids[task])[level][node]
        return Place(
            total / (UNIT * settings.leaves_below(level)),
            ended=level == settings.depth,
            mark=(task * (settings.depth + 1) + level) * settings.leaves_below(0) + node,
        )

    def _where(self, place: Place) -> tuple[int, int, int]:
        """Task, level and node of a place, which its mark holds."""
        above, node = divmod(place.mark, self.settings.leaves_below(0))
        return (*divmod(above, self.settings.depth + 1), node)


def _make(**settings: int | float | bool) -> TreeEnv:
    return TreeEnv(TreeSettings(**settings))  # type: ignore[arg-type]


def _load(file: str | None) -> list[Task]:
    if file is not None:
        raise ConfigError("trees have no task files; give --limit for fewer tasks")
    return tree_tasks(1000)


suite = Suite(make=_make, load_tasks=_load)
"""For the command line: `--env rro_sdk.testing.tree:suite`."""
