"""Expert trajectories for the methods that need them, by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.errors import ConfigError, DataError
from rro_sdk.fingerprint import digest_of
from rro_sdk.methods.tree import ROOT, Ask, Grow, Side, Tree
from rro_sdk.prompts import react
from rro_sdk.types import Action, Estimate


@dataclass(frozen=True, slots=True)
class Experts:
    """What an expert says at each turn of a task; turns after the episode's end are not played.

    Attributes:
        turns: the expert's replies in full, in order, by task id.
        path: the file that they were read from; "" if none.
        digest: names the trajectories in a run's header.

    Raises:
        ConfigError: there are none, or one has no turns.
    """

    turns: Mapping[str, tuple[str, ...]] = field(repr=False, metadata={"settings": False})
    path: str = field(default="", metadata={"settings": False})
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if not self.turns:
            raise ConfigError("experts must hold the trajectory of at least one task, and there is none")
        for task_id, turns in self.turns.items():
            if not turns:
                raise ConfigError(f"experts must have at least one turn each, and task {task_id} has none")
            given: object = turns  # a caller may not check types, and text would be read letter by letter
            if not isinstance(given, list | tuple) or not all(
                isinstance(each, str) and each for each in given
            ):
                raise ConfigError(f"experts must be lists of replies, and that of task {task_id} is none")
        object.__setattr__(self, "digest", digest_of(sorted(self.turns.items())))

    @classmethod
    def read(cls, path: str | Path) -> Experts:
        """Read a JSON Lines file, one task a line.

        Three forms are understood: `{"id", "turns": [reply, ...]}`; the tasks files of `rro data synth`
        (`{"id", "expert": [{"thought", "command"}, ...]}`); and conversations as InterCode's and ETO's data
        have them (`{"id", "conversations": [{"from": "gpt", "value": reply}, ...]}`).

        Raises:
            ConfigError: the file cannot be read, or holds none.
            DataError: a line is of none of these forms; it is named.
        """
        try:
            lines = Path(path).read_bytes().splitlines()
        except OSError as error:
            raise ConfigError(f"cannot read the experts' file {path} ({error.strerror})") from error
        found: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(lines, 1):
            if line.strip():
                task_id, turns = _row(line, f"{path} line {number}")
                if task_id in found:
                    raise DataError(f"{path} line {number}: task {task_id} has an expert already")
                found[task_id] = turns
        return cls(found, str(Path(path).absolute()))

    @classmethod
    def of(cls, turns: Mapping[str, tuple[str, ...]]) -> Experts:
        """From replies by task id."""
        return cls(dict(turns))

    def actions(self, task_id: str) -> tuple[Action, ...]:
        """The expert's actions.

        Raises:
            DataError: there is no expert for this task.
        """
        turns = self.turns.get(task_id)
        if turns is None:
            raise DataError(f"task {task_id} has no expert trajectory; give one, or leave the task out")
        return tuple(react.parse(text, "stop") for text in turns)

    def follow(self, task_id: str, tree: Tree) -> list[int] | Ask:
        """The states along the expert's trajectory, or the next of them to ask for.

        Raises:
            DataError: there is no expert, or its last turn does not end the episode.
        """
        actions, states = self.actions(task_id), list[int]()
        at = ROOT
        for action in actions:
            known = next((each.id for each in tree.children(at) if not each.drawn), None)
            if known is None:
                return Ask((Grow(at, action),))
            states.append(known)
            at = known
            if tree.nodes[at].end is not None:
                return states
        raise DataError(f"the expert trajectory of task {task_id} does not end its episode")


def needs_experts(method: object, experts: object) -> None:
    """Raise unless a method that learns from an expert was given one.

    Raises:
        ConfigError: it was given something else.
    """
    if not isinstance(experts, Experts):
        raise ConfigError(
            f"{type(method).__name__} experts must be an Experts object with expert trajectories,"
            f" not {type(experts).__name__}"
        )


def expert_side(tree: Tree, states: Sequence[int], first: int = 0) -> Side:
    """The expert's trajectory from its turn `first` on, from 0, as a side."""
    steps = tuple(step for state in states[first:] if (step := tree.nodes[state].step) is not None)
    outcome = steps[-1].observation.outcome
    assert outcome is not None  # `Experts.follow` ends where the episode does
    return Side(steps, Estimate((outcome,), terminal=True), states[first])


def _row(line: bytes, where: str) -> tuple[str, tuple[str, ...]]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({type(error).__name__})") from None
    task_id = row.get("id") if isinstance(row, dict) else None
    if not isinstance(task_id, str | int):
        raise DataError(f"{where}: an expert needs the id of its task")
    turns = tuple(_replies(row))
    if not turns or not all(isinstance(turn, str) and turn for turn in turns):
        raise DataError(f"{where}: task {task_id} has no turns, expert or conversations to read")
    return str(task_id), turns


def _replies(row: dict[str, Any]) -> Iterator[Any]:
    try:
        if "turns" in row:
            yield from row["turns"] if isinstance(row["turns"], list) else [None]
        elif "expert" in row:
            for turn in row["expert"]:
                yield f"Thought: {turn['thought']}\nAction: {turn['command']}"
        else:
            for message in row.get("conversations", ()):
                if message["from"] == "gpt":
                    yield message["value"]
    except (KeyError, TypeError):
        yield None
