"""What happened in a run, durable: one SQLite file, append-only.

The run's folder holds `journal.sqlite` (the truth) and what is derived from it. The file is in WAL mode with
`synchronous=NORMAL`: what was committed survives the death of the process; a machine that loses power may
lose the last moments, never the file. One process writes at a time (`lock.py`); any number may read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from rro_sdk.draws import DrawKey
from rro_sdk.errors import ConfigError, JournalError, RunExistsError
from rro_sdk.journal import schema
from rro_sdk.journal.gaps import retractions
from rro_sdk.journal.lock import LOCK_NAME, RunLock
from rro_sdk.journal.rows import Row, event_row
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

JOURNAL_NAME = "journal.sqlite"

BUSY_S = 10.0
"""How long SQLite waits for a reader that holds the file; none of ours does for longer than a moment."""

Spent = tuple[str, int, int, int, int, int, Usage]
"""Of one candidate or rollout: task, attempt, step, candidate, rollout, replies and their tokens."""

_encoder = msgspec.json.Encoder()
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


def refuse_existing(run_dir: Path) -> None:
    """Raise unless a new run may be made there: absent, empty, or a run that was killed before it began.

    Raises:
        RunExistsError: it holds something already.
        ConfigError: it is a file.
    """
    try:
        is_folder = run_dir.is_dir()
    except OSError as error:
        raise ConfigError(f"run folder {run_dir} cannot be: {error.strerror}") from error
    if is_folder:
        if any(run_dir.iterdir()) and not never_began(run_dir):
            raise RunExistsError(
                f"run folder {run_dir} is not empty; choose another, remove it, or resume its run"
            )
    elif run_dir.exists():
        raise ConfigError(f"run folder {run_dir} is a file; choose another")


def never_began(run_dir: Path) -> bool:
    """Whether a run was killed there before its header was written, so that there is nothing to keep."""
    own = {LOCK_NAME, *(f"{JOURNAL_NAME}{end}" for end in ("", "-wal", "-shm", "-journal"))}
    if {path.name for path in run_dir.iterdir()} - own:
        return False
    path = run_dir / JOURNAL_NAME
    if not path.exists():
        return True
    try:
        connection = _connect(path, "rw")
        try:
            return schema.version_of(connection) == 0
        finally:
            connection.close()
    except sqlite3.Error:
        return False


class Journal:
    """A run's journal. Make one with `create`, go on with `resume`, read one with `open`."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, lock: RunLock | None, version: int
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._version = version
        self.path = path

    @classmethod
    def create(cls, run_dir: Path, header: RunHeader, *, page_size: int | None = None) -> Journal:
        """Begin a run in an absent or empty folder. The header is there whole, or there is no run.

        Args:
            run_dir: the folder.
            header: what the run is made with.
            page_size: of the file, in bytes; SQLite's own suits rows that come a few at a time.

        Raises:
            RunExistsError: the folder is not empty.
            ConfigError: another process is writing there.
            JournalError: it cannot be written.
        """
        refuse_existing(run_dir)
        path = run_dir / JOURNAL_NAME
        lock = None
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            lock = RunLock.take(run_dir)
            connection = _connect(path, "rwc")
            if page_size is not None:
                connection.execute(f"PRAGMA page_size={page_size}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in schema.CREATE.split(";")[:-1]:
                connection.execute(statement)
            connection.execute("INSERT INTO header VALUES ('run', ?)", (_encoder.encode(header),))
            connection.execute(f"PRAGMA user_version={schema.VERSION}")
            connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            if lock is not None:
                lock.release()
            raise JournalError(f"cannot begin a run in {run_dir}: {error}") from error
        return cls(connection, path, lock, schema.VERSION)

    @classmethod
    def resume(cls, run_dir: Path) -> Self:
        """Open a run to go on writing; a file of an earlier version is brought to today's.

        Raises:
            ConfigError: there is no run, or another process is writing it.
            JournalError: the file is no journal, or one of a later version.
        """
        path = _existing(run_dir)
        lock = RunLock.take(run_dir)
        try:
            connection = _connect(path, "rw")
            schema.refuse_later(schema.version_of(connection), str(path))
            schema.migrate(connection)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error as error:
            lock.release()
            raise JournalError(f"{path} cannot be read: {error}") from error
        except JournalError:
            lock.release()
            raise
        return cls(connection, path, lock, schema.VERSION)

    @classmethod
    def open(cls, run_dir: Path) -> Journal:
        """Open a run for reading, also while another process writes it.

        Raises:
            ConfigError: there is no run.
            JournalError: the file is no journal, or one of a later version.
        """
        path = _existing(run_dir)
        try:
            connection = _connect(path, "ro")
            version = schema.version_of(connection)
        except sqlite3.Error as error:
            raise JournalError(f"{path} cannot be read: {error}") from error
        try:
            schema.refuse_later(version, str(path))
        except JournalError:
            connection.close()
            raise
        return cls(connection, path, None, version)

    def write(self, rows: Sequence[Row]) -> int:
        """Commit rows together.

        Returns:
            How many of them were recorded already, and left as they were: late duplicates.

        Raises:
            JournalError: none of them could be written.
        """
        duplicates = 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in rows:
                    duplicates += 1 - self._connection.execute(statement, values).rowcount
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError as error:
            raise JournalError(f"{self.path} has this event already: {error}") from error
        except sqlite3.Error as error:
            raise JournalError(f"cannot write to {self.path}: {error}") from error
        return duplicates

    def append(self, event: Event) -> None:
        """Record one event, committed when this returns; raises as `write`."""
        self.write([event_row(event)])

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
            (_encoder.encode(task_ids).decode(),),
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

    def take_from(self, other: Journal, table: str) -> int:
        """Copy a table's rows from a damaged journal, from either end up to the damage.

        Returns:
            The number of rows.
        """
        key, rows = schema.TABLES[table], dict[tuple[Any, ...], tuple[Any, ...]]()
        columns = [name for (_, name, *_) in other._read(f"PRAGMA table_info({table})")]
        if not columns:
            return 0
        width = len(key.split(", "))
        for order in (key, ", ".join(f"{column} DESC" for column in key.split(", "))):
            with suppress(sqlite3.Error):
                for row in other._connection.execute(
                    f"SELECT {key}, {', '.join(columns)} FROM {table} ORDER BY {order}"
                ):
                    if row[:width] in rows:
                        break
                    rows[row[:width]] = row[width:]
        if table == "event":
            at = columns.index("body")
            rows = {key: row for key, row in rows.items() if _reads(row[at])}
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        self.write([(insert, row) for _, row in sorted(rows.items())])
        if table == "event" and other._version == 1:
            self.write([(statement, ()) for statement in schema.FILL_FROM_1])
        return len(rows)

    def reopen_gaps(self) -> None:
        """After a recovery: take back what no longer stands, so that it is decided again."""
        recovered = ("INSERT OR REPLACE INTO header VALUES ('recovered', ?)", (b"true",))
        self.write([recovered, *retractions(self.events())])

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

    def close(self) -> None:
        """Close the file and let go of the folder. Safe to call twice."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _reads(body: bytes) -> bool:
    try:
        _decoder.decode(body)
    except _UNREADABLE:
        return False
    return True


def _existing(run_dir: Path) -> Path:
    path = run_dir / JOURNAL_NAME
    if not path.is_file():
        raise ConfigError(f"{run_dir} holds no run ({JOURNAL_NAME} is missing)")
    return path


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # The writer's thread uses the connection of the thread that opened it, one at a time.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_S,
        check_same_thread=False,
    )
