"""A run's good trajectories as prompt and completion: rejection-sampling SFT, and expert data for methods.

A trajectory of the run is one that its records hold whole: the explored one of a task, a candidate whose
action ended the episode, and a candidate with its continuation where whole trajectories are compared. Those
with an outcome of at least the threshold give a row for each of the agent's turns, with the history in the
prompt; a turn that several of them share is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.export.base import Context, Format, Row, Sample, action_side, messages
from rro_sdk.export.source import Source, step_id
from rro_sdk.export.trl import tools_column
from rro_sdk.types import Candidate, Message, StepRecord

BEST = 1.0
"""The threshold by default: what the environment calls solved."""


class Whole(msgspec.Struct, frozen=True):
    """A trajectory: the task's opening messages, then actions and observations in turn, an action last."""

    id: str
    task_id: str
    opening: tuple[Message, ...]
    turns: tuple[Message, ...]
    outcome: float
    weight_version: str


def trajectories(source: Source) -> Iterator[Whole]:
    """Every trajectory that the run's records hold whole, in the order of its steps."""
    last = {record.task_id: record for record in source.steps if record.record is None}
    for record in source.steps:
        drawn = [*record.candidates, *([record.prefix_action] if record.prefix_action is not None else [])]
        for candidate in drawn:
            if candidate.continuation or candidate.observation.done:
                yield _whole(record, candidate, candidate.reward)
        end = source.ends.get(record.task_id)
        advanced = record.candidate(record.advance)
        explored = end is not None and last.get(record.task_id) is record
        if end is not None and explored and not (advanced.continuation or advanced.observation.done):
            yield _whole(record, advanced, end.outcome)


def _whole(record: StepRecord, candidate: Candidate, outcome: float) -> Whole:
    before = len(record.prefix) - 2 * (record.step - 1)  # an action and an observation a step
    return Whole(
        id=f"{step_id(record)}/{candidate.index}",
        task_id=record.task_id,
        opening=record.prefix[:before],
        turns=(*record.prefix[before:], *action_side(candidate.action.text, candidate.continuation)),
        outcome=outcome,
        weight_version=record.weight_version,
    )


class Turn(msgspec.Struct, frozen=True):
    """A turn of a trajectory: what the agent saw, and what it said. `turn` counts from 1."""

    of: Whole
    turn: int

    @property
    def id(self) -> str:
        return f"{self.of.id}/{self.turn}"

    @property
    def prompt(self) -> tuple[Message, ...]:
        return (*self.of.opening, *self.of.turns[: 2 * (self.turn - 1)])

    @property
    def action(self) -> str:
        return self.of.turns[2 * (self.turn - 1)].content


def turns(source: Source, min_outcome: float) -> Iterator[Turn]:
    """The turns of the trajectories that reach the threshold, each distinct one once."""
    seen: set[tuple[tuple[Message, ...], str]] = set()
    for whole in trajectories(source):
        if whole.outcome < min_outcome:
            continue
        for turn in (Turn(whole, 1 + place // 2) for place in range(0, len(whole.turns), 2)):
            key = (turn.prompt, turn.action)
            if key in seen:
                continue
            seen.add(key)  # also of one that was left out: the next trajectory has it under another id
            if turn.id not in source.left_out:
                yield turn


def _samples(min_outcome: float) -> Callable[[Source], Iterator[Sample]]:
    def samples(source: Source) -> Iterator[Sample]:
        for turn in turns(source, min_outcome):
            yield Sample(turn.id, turn.prompt, {"completion": action_side(turn.action)})

    return samples


def _rows(min_outcome: float) -> Callable[[Source, Context], Iterator[Row]]:
    def rows(source: Source, context: Context) -> Iterator[Row]:
        for turn in turns(source, min_outcome):
            yield {
                "prompt": messages(turn.prompt),
                "completion": _said(turn.action),
                "id": turn.id,
                "task_id": turn.of.task_id,
                "turn": turn.turn,
                "outcome": turn.of.outcome,
                "weight_version": turn.of.weight_version,
                **tools_column(context.tools),
            }

    return rows


def _said(text: str) -> Sequence[dict[str, str]]:
    return messages(action_side(text))


def at_least(min_outcome: float) -> Format:
    """The format with another threshold.

    Raises:
        ConfigError: outcomes lie in [0, 1].
    """
    if not 0.0 <= min_outcome <= 1.0:
        raise ConfigError(f"min_outcome is {min_outcome!r}: outcomes lie in [0, 1]")
    return Format(
        name="sft",
        title="prompt and completion for SFT: the turns of trajectories that reach --min-outcome",
        usage="""```sh
rro train sft --data FOLDER/train.jsonl --model MODEL --out CHECKPOINT
```

or `SFTTrainer(model, args=SFTConfig(...), train_dataset=load_dataset("FOLDER", split="train"), ...)`.""",
        rows=_rows(min_outcome),
        samples=_samples(min_outcome),
        preferences=False,
        takes_tools=True,
        trajectories="whole",
    )


FORMAT = at_least(BEST)
