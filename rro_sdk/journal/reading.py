"""Reads a run's journal: what was decided, what was drawn, what it cost.

Nothing here writes. Older files are read as they are: a version without a table has nothing in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.draws import DrawKey
from rro_sdk.errors import JournalError
from rro_sdk.recording import RolloutEnd, TaskMemory, Turn, place
from rro_sdk.types import (
    Action,
    Baseline,
    Discarded,
    Event,
    Searched,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
)

Spent = tuple[str, int, int, int, int, int, Usage]
"""Of one candidate or rollout: task, attempt, step, candidate, rollout, replies and their tokens."""

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_numbered = msgspec.json.Decoder(list[tuple[int, Event]])

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError)


class RunHeader(msgspec.Struct, frozen=True):
    """What a run was made with.

    Attributes:
        created: ISO time.
        seed: the run's seed.
        method: name and settings of the method.
        environment: name of the environment.
        sampling: settings by which actions were drawn.
        servers: what each server said that it serves, by URL.
        versions: package versions.
        model: what the servers served: path, weight version, and fingerprints of weights and tokenizer
            where the files can be read; empty for a policy of your own.
        data: digest of the environment's settings and data, and what else decides outcomes.
        command: how the command line made the run, for `rro resume`; None where a program made it.
        spending: how rollouts were saved; empty in older runs, which saved none.
    """

    created: str
    seed: int
    method: dict[str, Any]
    environment: str
    sampling: dict[str, Any]
    servers: dict[str, dict[str, str]]
    versions: dict[str, str]
    model: dict[str, str] = {}
    data: dict[str, Any] = {}
    command: dict[str, Any] | None = None
    spending: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class TaskStates:
    """Tasks of a run by what became of them; the others were never begun, or are open."""

    finished: frozenset[str]
    set_aside: dict[str, TaskFailed]


class JournalReader:
    """What can be asked of a journal, also while another process writes it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, version: int) -> None:
        self._connection = connection
        self._version = version
        self.path = path

    def header(self) -> RunHeader:
        row = next(self._read("SELECT value FROM header WHERE key = 'run'"), None)
        if row is None:
            raise JournalError(f"{self.path} has no header; the run never began")
        try:
            return msgspec.json.decode(row[0], type=RunHeader)
        except _UNREADABLE as error:
            raise self._damaged(error) from None

    def events(self) -> Iterator[Event]:
        """Every event in the order in which it was recorded."""
        yield from self._decoded(self._read("SELECT body FROM event ORDER BY seq"))

    def events_after(self, seq: int, most: int) -> tuple[int, list[Event]]:
        """The first events, `most` at most, that were recorded after number `seq`, for who follows a run.

        Returns:
            The number of the last of them, `seq` where there is none; and the events in order.
        """
        # One row with all of them: Python takes its lock again for every row, and the run may be sampling
        # in this process.
        ((rows,),) = self._read(
            "SELECT '[' || group_concat('[' || seq || ',' || CAST(body AS TEXT) || ']') || ']'"
            " FROM (SELECT seq, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?)",
            (seq, most),
        )
        if rows is None:
            return seq, []
        try:
            found = sorted(_numbered.decode(rows), key=itemgetter(0))
        except _UNREADABLE as error:
            raise self._damaged(error) from None
        return found[-1][0], [event for _, event in found]

    def last_seq(self) -> int:
        """The number of the last event; 0 without any."""
        ((last,),) = self._read("SELECT coalesce(max(seq), 0) FROM event")
        return int(last)

    def spent_by(self, task_ids: Sequence[str]) -> list[Spent]:
        """What `spent` says of some of the tasks."""
        if self._version < 2:
            return []
        place = "task_id, attempt, step, candidate, rollout"
        ((rows,),) = self._read(
            f"SELECT json_group_array(json_array({place}, count, asked, cached, generated)) FROM"
            f" (SELECT {place}, count(*) AS count, sum(prompt_tokens) AS asked, sum(cached_tokens) AS cached,"
            " sum(completion_tokens) AS generated FROM turn"
            f" WHERE task_id IN (SELECT value FROM json_each(?)) GROUP BY {place})",
            (msgspec.json.encode(task_ids).decode(),),
        )
        found = msgspec.json.decode(rows, type=list[tuple[str, int, int, int, int, int, int, int, int]])
        return [(*row[:6], Usage(*row[6:])) for row in found]

    def events_of(self, task_id: str) -> Iterator[Event]:
        """One task's events in the order in which they were recorded."""
        yield from self._decoded(
            self._read("SELECT body FROM event WHERE task_id = ? ORDER BY seq", (task_id,))
        )

    def turns_of(self, task_id: str) -> Iterator[tuple[DrawKey, Turn]]:
        """Every reply that was drawn for a task, by its key (which lacks the run's seed: 0)."""
        if self._version < 2:
            return
        columns = (
            "attempt, step, candidate, rollout, turn, prompt, reply, command, error,"
            " prompt_tokens, cached_tokens, completion_tokens, weight_versions, server"
        )
        for row in self._read(f"SELECT {columns} FROM turn WHERE task_id = ?", (task_id,)):
            attempt, step, candidate, rollout, number, prompt, reply, command, error, *rest = row
            asked, cached, generated, versions, server = rest
            yield (
                DrawKey(0, task_id, step, candidate, rollout, number, attempt),
                Turn(
                    Action(reply, command, error),
                    prompt,
                    Usage(asked, cached, generated),
                    tuple(versions.split("\n")) if versions else (),
                    server,
                ),
            )

    def rollouts_of(self, task_id: str) -> Iterator[tuple[DrawKey, RolloutEnd]]:
        """Every rollout of a task that came to its end, by its key (as `turns_of`)."""
        if self._version < 2:
            return
        columns = "attempt, step, candidate, rollout, outcome, truncated, fault"
        for row in self._read(f"SELECT {columns} FROM rollout WHERE task_id = ?", (task_id,)):
            attempt, step, candidate, rollout, outcome, truncated, fault = row
            yield (
                DrawKey(0, task_id, step, candidate, rollout, attempt=attempt),
                RolloutEnd(outcome, bool(truncated), fault),
            )

    def memory(self, task_id: str) -> TaskMemory:
        """What is known of a task that is not finished."""
        memory = TaskMemory()
        for event in self.events_of(task_id):
            match event:
                case StepRecord():
                    memory.steps.append(event)
                case Baseline():
                    memory.has_baseline.add((event.step, event.attempt))
                case Searched():
                    memory.searched = True
                case Discarded():
                    memory.attempt += 1
        for key, turn in self.turns_of(task_id):
            memory.turns.setdefault(place(key), {})[key.turn] = turn
        for key, end in self.rollouts_of(task_id):
            memory.rollouts[place(key)] = end
        return memory

    def states(self) -> TaskStates:
        """What became of the run's tasks so far."""
        finished: set[str] = set()
        failed: dict[str, TaskFailed] = {}
        which = "WHERE kind IN ('TaskEnd', 'TaskFailed')" if self._version > 1 else ""
        for event in self._decoded(self._read(f"SELECT body FROM event {which} ORDER BY seq")):
            if isinstance(event, TaskEnd):
                finished.add(event.task_id)
            elif isinstance(event, TaskFailed):
                failed[event.task_id] = event
        return TaskStates(frozenset(finished), {k: v for k, v in failed.items() if k not in finished})

    def begun(self) -> set[str]:
        """Ids of all tasks that the journal knows."""
        events = {task_id for (task_id,) in self._read("SELECT DISTINCT task_id FROM event")}
        return (events | set(self.digests())) - {""}

    def digests(self) -> dict[str, bytes]:
        """Digest of every task that was begun, by its id; empty for runs of version 1."""
        if self._version < 2:
            return {}
        return dict(self._read("SELECT id, digest FROM task"))

    def tokens(self, where: str = "1") -> Usage:
        """Tokens of the recorded replies that meet a condition on the table `turn`."""
        if self._version < 2:
            return Usage()
        (row,) = self._read(
            "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),"
            f" coalesce(sum(completion_tokens), 0) FROM turn WHERE {where}"
        )
        return Usage(*row)

    def spent(self) -> Iterator[Spent]:
        """Every candidate and rollout."""
        if self._version < 2:
            return
        place = "task_id, attempt, step, candidate, rollout"
        for *where, count, asked, cached, generated in self._read(
            f"SELECT {place}, count(*), sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens)"
            f" FROM turn GROUP BY {place}"
        ):
            task_id, attempt, step, candidate, rollout = where
            yield task_id, attempt, step, candidate, rollout, count, Usage(asked, cached, generated)

    def replies(self) -> int:
        """How many replies are recorded."""
        if self._version < 2:
            return 0
        ((count,),) = self._read("SELECT count(*) FROM turn")
        return int(count)

    def integrity(self) -> Iterator[str]:
        """What SQLite finds wrong with the file; nothing for a sound one."""
        try:
            for (line,) in self._connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    yield f"{self.path}: {line}"
        except sqlite3.Error as error:
            yield f"{self.path}: {error}"

    @property
    def recovered(self) -> bool:
        """Whether this is what could be saved of another journal."""
        return any(True for _ in self._read("SELECT 1 FROM header WHERE key = 'recovered'"))

    def duration_s(self) -> float:
        """Seconds from the first record to the last, without the time between a stop and its resume."""
        kind = "kind = 'Resumed'" if self._version > 1 else "0"
        total, before = 0.0, None
        for at, resumed in self._read(f"SELECT at, {kind} FROM event ORDER BY seq"):
            if before is not None and not resumed:
                total += max(0.0, at - before)
            before = at
        return total

    def _read(self, query: str, values: Iterable[Any] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, tuple(values))
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def _decoded(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Event]:
        for (body,) in rows:
            try:
                yield _decoder.decode(body)
            except _UNREADABLE as error:
                raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> JournalError:
        # The message of an error may quote what it could not read, which is a prompt or a reply.
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        return JournalError(f"{self.path} is damaged ({name}); see `rro check`")


def is_event(body: bytes) -> bool:
    try:
        _decoder.decode(body)
    except _UNREADABLE:
        return False
    return True
