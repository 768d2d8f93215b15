"""What happened in a run, durable: one SQLite file, append-only.

The run's folder holds `journal.sqlite` (the truth) and what is derived from it. The file is in WAL mode with
`synchronous=NORMAL`: what was committed survives the death of the process; a machine that loses power may
lose the last moments, never the file. One process writes at a time (`lock.py`); any number may read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from rro_sdk.errors import ConfigError, JournalError, RunExistsError
from rro_sdk.journal import schema
from rro_sdk.journal.gaps import retractions
from rro_sdk.journal.lock import LOCK_NAME, RunLock
from rro_sdk.journal.reading import JournalReader, RunHeader, is_event
from rro_sdk.journal.rows import Row, event_row
from rro_sdk.types import Event

JOURNAL_NAME = "journal.sqlite"

BUSY_S = 10.0
"""How long SQLite waits for a reader that holds the file; none of ours does for longer than a moment."""


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


class Journal(JournalReader):
    """A run's journal. Make one with `create`, go on with `resume`, read one with `open`."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, lock: RunLock | None, version: int
    ) -> None:
        super().__init__(connection, path, version)
        self._lock = lock

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
            connection.execute("INSERT INTO header VALUES ('run', ?)", (msgspec.json.encode(header),))
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
            rows = {key: row for key, row in rows.items() if is_event(row[at])}
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        self.write([(insert, row) for _, row in sorted(rows.items())])
        if table == "event" and other._version == 1:
            self.write([(statement, ()) for statement in schema.FILL_FROM_1])
        return len(rows)

    def reopen_gaps(self) -> None:
        """After a recovery: take back what no longer stands, so that it is decided again."""
        recovered = ("INSERT OR REPLACE INTO header VALUES ('recovered', ?)", (b"true",))
        self.write([recovered, *retractions(self.events())])

    def close(self) -> None:
        """Close the file and let go of the folder. Safe to call twice."""
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
