"""What is exported: the pairs and steps of a run, or a file of pairs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rro_sdk.errors import ConfigError, DataError
from rro_sdk.export.turns import turns_problem
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.pairs import pair_id, pair_of
from rro_sdk.types import Message, PreferencePair, StepRecord, TaskEnd

if TYPE_CHECKING:
    from rro_sdk.report.summary import RunSummary


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """What a run holds, ordered by task and step, whatever the order of replies was.

    Attributes:
        name: what messages and the card call it.
        pairs: its preference pairs.
        steps: its explored steps; empty where only pairs are known.
        ends: how each task's trajectory ended.
        header: what the run was made with, None for a file of pairs.
        summary: the run's numbers, None for a file of pairs.
        left_out: ids of what was taken out of it.
    """

    name: str
    pairs: tuple[PreferencePair, ...]
    steps: tuple[StepRecord, ...] = ()
    ends: Mapping[str, TaskEnd] = dataclasses.field(default_factory=dict)
    header: RunHeader | None = None
    summary: RunSummary | None = None
    left_out: frozenset[str] = frozenset()

    def without(self, ids: Collection[str]) -> Source:
        """The same, less the pairs, steps and turns of these ids."""
        return dataclasses.replace(
            self,
            pairs=tuple(pair for pair in self.pairs if pair.id not in ids),
            steps=tuple(step for step in self.steps if step_id(step) not in ids),
            left_out=self.left_out | frozenset(ids),
        )


step_id = pair_id
"""A step's id is its pair's."""


def in_order(pair: PreferencePair) -> tuple[str, int, str]:
    """The key by which pairs are sorted; the id decides where a step has several (`StepRecord.record`)."""
    return (pair.task_id, pair.step, pair.id)


def read_source(path: Path) -> Source:
    """Read a run folder or a file of pairs.

    Raises:
        ConfigError: it is neither.
        DataError: a line of the file is not a pair.
        JournalError: the run cannot be read.
    """
    if path.is_file():
        return _read_file(path)
    if path.is_dir():
        return _read_run(path)
    raise ConfigError(f"{path} does not exist: give a run's folder, or a pairs.jsonl file")


def _read_run(folder: Path) -> Source:
    from rro_sdk.report.text import summary_of  # brings rich, which no sampler needs

    with Journal.open(folder) as journal:
        events = list(journal.events())
        steps = sorted(
            (event for event in events if isinstance(event, StepRecord)),
            key=lambda record: (record.task_id, record.step, step_id(record)),
        )
        return Source(
            name=folder.absolute().name,
            pairs=tuple(pair for record in steps if (pair := pair_of(record)) is not None),
            steps=tuple(steps),
            ends={event.task_id: event for event in events if isinstance(event, TaskEnd)},
            header=journal.header(),
            summary=summary_of(journal),
        )


class _PairRow(msgspec.Struct):
    """A row of pairs.jsonl (`rro_sdk.export.trl`)."""

    id: str
    task_id: str
    step: int
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    chosen_reward: float
    rejected_reward: float
    weight_version: str


_decoder = msgspec.json.Decoder(_PairRow)


def _read_file(path: Path) -> Source:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})") from error
    pairs = [_pair(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    twice = [id_ for id_, count in Counter(pair.id for pair in pairs).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has {len(twice)} ids more than once, such as {twice[0]}: rows are told apart by their"
            " id, so export each run alone, or give the pairs of one of them other ids"
        )
    return Source(name=path.name, pairs=tuple(sorted(pairs, key=in_order)))


def _pair(line: bytes, where: str) -> PreferencePair:
    try:
        row = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # A decoding error names the field at most, never its text.
        raise DataError(
            f"{where} is not a preference pair ({error}): export it from its run again"
        ) from error
    for side in ("chosen", "rejected"):
        found: tuple[Message, ...] = getattr(row, side)
        if not found or found[0].role != "assistant":
            raise DataError(f"{where}: {side} must begin with an action (assistant); history is the prompt's")
        if len(found) > 1 and (reason := turns_problem(found)) is not None:
            raise DataError(f"{where}: {side} {reason}")
    return PreferencePair(
        id=row.id,
        task_id=row.task_id,
        step=row.step,
        prompt=row.prompt,
        chosen=row.chosen[0].content,
        rejected=row.rejected[0].content,
        chosen_reward=row.chosen_reward,
        rejected_reward=row.rejected_reward,
        weight_version=row.weight_version,
        chosen_rest=row.chosen[1:],
        rejected_rest=row.rejected[1:],
    )
