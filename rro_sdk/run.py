"""A run's folder while a sampler writes it: begun or resumed, what it owes, and its exports.

Roles: `Run` owns the journal, its writer and its recorder from `enter` to `leave`. It knows nothing of how
tasks are explored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from rro_sdk.errors import ConfigError, DataError, JournalError
from rro_sdk.export.trl import write_pairs
from rro_sdk.fingerprint import difference, task_digest
from rro_sdk.journal.reading import RunHeader, TaskStates
from rro_sdk.journal.recorder import JournalRecorder
from rro_sdk.journal.rows import event_row, task_row
from rro_sdk.journal.store import Journal, never_began, refuse_existing
from rro_sdk.journal.writer import JournalWriter
from rro_sdk.pairs import pairs_of
from rro_sdk.recording import TaskMemory
from rro_sdk.types import Event, Resumed, StepRecord, Task, Usage, VersionChanged

PAIRS_NAME = "pairs.jsonl"


class Kept(msgspec.Struct, frozen=True):
    """What a resumed run has already, and does again.

    Attributes:
        finished: tasks that are not looked at again.
        set_aside: tasks that stay set aside.
        open: tasks that were begun and go on, those that a server's fault had set aside included.
        steps: decided steps.
        replies: recorded replies; none of them is asked for again.
        tokens: what they cost.
    """

    finished: int
    set_aside: int
    open: int
    steps: int
    replies: int
    tokens: Usage

    def __str__(self) -> str:
        return (
            f"kept {self.finished} finished tasks, {self.set_aside} set aside, {self.steps} steps and"
            f" {self.replies} replies ({self.tokens.completion_tokens:,} generated tokens);"
            f" {self.open} open tasks go on"
        )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the journal said when the run was resumed."""

    states: TaskStates
    digests: dict[str, bytes]
    begun: frozenset[str]
    reader: Journal


class Run:
    """The journal of one run, being written.

    Args:
        run_dir: its folder.
        journal: made or resumed.

    Attributes:
        recorder: where draws are kept.
        kept: what a resumed run has already; None for a new one.
    """

    def __init__(self, run_dir: Path, journal: Journal, known: _Known | None = None) -> None:
        self._dir = run_dir
        self._journal = journal
        self._writer = JournalWriter(journal)
        self._known = known
        self.recorder = JournalRecorder(self._writer)
        self.kept = _kept(known) if known is not None else None

    @classmethod
    def begin(cls, run_dir: Path, header: RunHeader) -> Run:
        """Raises as `Journal.create`."""
        return cls(run_dir, Journal.create(run_dir, header))

    @classmethod
    def resume(cls, run_dir: Path, header: RunHeader) -> Run:
        """Go on with a run that `header` describes as well.

        Raises:
            ConfigError: settings, data or model differ, which is named, or another process writes it.
            JournalError: the journal cannot be read.
        """
        journal = Journal.resume(run_dir)
        try:
            run = cls.going_on(run_dir, journal, header)
            journal.append(Resumed(header.versions, tuple(header.servers)))
        except BaseException:
            journal.close()
            raise
        return run

    @classmethod
    def going_on(cls, run_dir: Path, journal: Journal, header: RunHeader) -> Self:
        """As `resume`, of a journal that is open for writing already; nothing is written to it."""
        reader = Journal.open(run_dir)
        try:
            refuse_other(reader, header, run_dir)
            known = _Known(reader.states(), reader.digests(), frozenset(reader.begun()), reader)
            return cls(run_dir, journal, known)
        except BaseException:
            reader.close()
            raise

    @staticmethod
    def can_resume(run_dir: Path) -> bool:
        """Whether there is a run to go on with; a folder that is absent, empty or never began is none.

        Raises:
            RunExistsError: the folder holds something else.
        """
        if (run_dir / "journal.sqlite").is_file() and not never_began(run_dir):
            return True
        refuse_existing(run_dir)
        return False

    async def enter(self) -> None:
        await self._writer.__aenter__()

    async def leave(self, error: BaseException | None) -> None:
        """Record what is left, export the pairs, close.

        Args:
            error: what ends the run, if anything; a failure of ours does not hide it.

        Raises:
            JournalError: the journal or the export could not be written.
        """
        try:
            await self._writer.__aexit__(type(error) if error else None, error, None)
            self.export()
        except JournalError:
            if error is None:
                raise
        finally:
            self._journal.close()
            if self._known is not None:
                self._known.reader.close()

    def export(self) -> None:
        """Write the pairs beside the journal; raises `JournalError`."""
        _export(self._journal, self._dir)

    def wants(self, task: Task) -> bool:
        """Take a task up, unless it is done; what is known of it is in `memory`.

        Raises:
            DataError: the run began with another task of that id.
        """
        digest = task_digest(task)
        if self._known is not None:
            _refuse_changed(task, self._known.digests, self._dir)
            if _closed(task.id, self._known.states):
                return False
        if self._known is None or task.id not in self._known.digests:
            self._writer.put(task_row(task.id, digest))
        return True

    def memory(self, task: Task) -> TaskMemory | None:
        """What is known of a task that was begun before; held for its draws until `forget`."""
        if self._known is None or task.id not in self._known.begun:
            return None
        memory = self._known.reader.memory(task.id)
        self.recorder.memories[task.id] = memory
        return memory

    def forget(self, task: Task) -> None:
        self.recorder.memories.pop(task.id, None)

    def past_events(self) -> Iterator[Event]:
        """Events of the run before it was resumed."""
        if self._known is not None:
            yield from self._known.reader.events()

    def put(self, event: Event) -> None:
        """Record an event soon; raises as `JournalWriter.put`."""
        self._writer.put(event_row(event))

    async def committed(self) -> None:
        """Wait until all that was put is durable; raises as `JournalWriter.committed`."""
        await self._writer.committed()


def owed(run_dir: Path, tasks: Sequence[Task], *, where: str) -> list[Task]:
    """The tasks that a resumed run takes up.

    Args:
        run_dir: the run's folder.
        tasks: what the run is to explore.
        where: what they were read from, for errors.

    Raises:
        DataError: a task that was begun has another content now, or is not there any more.
    """
    with Journal.open(run_dir) as journal:
        states, digests, begun = journal.states(), journal.digests(), journal.begun()
    for task in tasks:
        _refuse_changed(task, digests, run_dir)
    if lost := sorted(
        task_id for task_id in begun - {task.id for task in tasks} if not _closed(task_id, states)
    ):
        named = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        raise DataError(
            f"the run in {run_dir} began tasks that are not in {where} any more ({named}); put them back"
        )
    return [task for task in tasks if not _closed(task.id, states)]


def export_again(run_dir: Path) -> None:
    """Write the pairs of a run that owes nothing, from its journal.

    Raises:
        ConfigError: another process writes the run.
        JournalError: the journal cannot be read, or the pairs cannot be written.
    """
    journal = Journal.resume(run_dir)
    try:
        _export(journal, run_dir)
    finally:
        journal.close()


def _export(journal: Journal, run_dir: Path) -> None:
    try:
        write_pairs(pairs_of(journal.events()), run_dir / PAIRS_NAME)
    except OSError as failure:
        raise JournalError(
            f"cannot write {run_dir / PAIRS_NAME}: {failure.strerror}; mend it and resume the run"
        ) from failure


def _closed(task_id: str, states: TaskStates) -> bool:
    """Whether a task is not taken up again: finished, or set aside for another's fault than a server's."""
    aside = states.set_aside.get(task_id)
    return task_id in states.finished or (aside is not None and aside.fault_of != "server")


def _refuse_changed(task: Task, digests: Mapping[str, bytes], run_dir: Path) -> None:
    if digests.get(task.id) not in (None, task_digest(task)):
        raise DataError(
            f"task {task.id} is not the one that the run in {run_dir} began with; give the same tasks"
        )


def refuse_other(journal: Journal, now: RunHeader, run_dir: Path) -> None:
    """Raise `ConfigError` where a run was begun with other settings, data or model than `now` names."""
    reloaded = {event.after for event in journal.events() if isinstance(event, VersionChanged)}
    refuse_other_header(journal.header(), now, str(run_dir), reloaded)


def refuse_other_header(
    before: RunHeader, now: RunHeader, where: str, reloaded: Collection[str] = ()
) -> None:
    """Raise `ConfigError` where two headers are not of one run.

    Args:
        before: as it was begun.
        now: as it would go on.
        where: the run, for people.
        reloaded: weight versions that the run itself went over to.
    """
    now = msgspec.json.decode(msgspec.json.encode(now), type=RunHeader)  # tuples become lists
    for name in ("seed", "method", "environment", "sampling", "spending", "data", "model"):
        old, new = getattr(before, name), getattr(now, name)
        if name == "model":
            if new.get("weight_version") in reloaded:
                continue
            # What one side does not know cannot differ; a path stands for weights that cannot be read.
            shared = {key for key in old if old[key] and new.get(key)}
            shared -= {"path"} if "weights" in shared else set()
            old, new = ({key: model[key] for key in sorted(shared)} for model in (old, new))
        if name == "data":
            old, new = ({key: data[key] for key in data if data[key] != ""} for data in (old, new))
        if name in ("data", "spending") and not (old and new):  # not known of older runs
            continue
        if (found := difference(old, new, name)) is not None:
            raise ConfigError(
                f"the run in {where} cannot go on with other settings: {found};"
                " resume it as it was begun, or begin another"
            )


def _kept(known: _Known) -> Kept:
    states, reader = known.states, known.reader
    aside = sum(failed.fault_of != "server" for failed in states.set_aside.values())
    return Kept(
        finished=len(states.finished),
        set_aside=aside,
        open=len(known.begun - states.finished) - aside,
        steps=sum(isinstance(event, StepRecord) for event in reader.events()),
        replies=reader.replies(),
        tokens=reader.tokens(),
    )
