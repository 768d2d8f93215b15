"""What happened in a run, durable: one SQLite file, append-only.

The run's folder holds `journal.sqlite` (the truth) and what is derived from it. Events are committed
one by one in WAL mode with `synchronous=NORMAL`: a killed process loses nothing that was appended; a
machine that loses power may lose the last moments, never the file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from rro_sdk.errors import ConfigError, JournalError, RunExistsError
from rro_sdk.types import Event

JOURNAL_NAME = "journal.sqlite"
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE header (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE event (seq INTEGER PRIMARY KEY, at REAL NOT NULL, task_id TEXT NOT NULL, body BLOB NOT NULL);
"""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


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
    """

    created: str
    seed: int
    method: dict[str, Any]
    environment: str
    sampling: dict[str, Any]
    servers: dict[str, dict[str, str]]
    versions: dict[str, str]


def refuse_existing(run_dir: Path) -> None:
    """Raise unless a new run may be made there.

    Raises:
        RunExistsError: it holds something already.
        ConfigError: it is a file.
    """
    if run_dir.is_dir():
        if any(run_dir.iterdir()):
            raise RunExistsError(f"run folder {run_dir} is not empty; choose another or remove it")
    elif run_dir.exists():
        raise ConfigError(f"run folder {run_dir} is a file; choose another")


class Journal:
    """A run's journal. Make one with `create`, read one with `open`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def create(cls, run_dir: Path, header: RunHeader) -> Journal:
        """Begin a run in an absent or empty folder.

        Raises:
            RunExistsError: the folder is not empty.
            JournalError: it cannot be written.
        """
        refuse_existing(run_dir)
        path = run_dir / JOURNAL_NAME
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
            connection.execute("INSERT INTO header VALUES ('run', ?)", (_encoder.encode(header),))
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"cannot begin a run in {run_dir}: {error}") from error
        return cls(connection, path)

    @classmethod
    def open(cls, run_dir: Path) -> Journal:
        """Open a run for reading.

        Raises:
            ConfigError: there is no run.
            JournalError: the file is no journal, or one of a later version.
        """
        path = run_dir / JOURNAL_NAME
        if not path.is_file():
            raise ConfigError(f"{run_dir} holds no run ({JOURNAL_NAME} is missing)")
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
            )
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"{path} cannot be read: {error}") from error
        if version != SCHEMA_VERSION:
            connection.close()
            raise JournalError(f"{path} has schema version {version}; this SDK reads {SCHEMA_VERSION}")
        return cls(connection, path)

    def append(self, event: Event) -> None:
        """Record one event, committed when this returns.

        Raises:
            JournalError: it could not be written.
        """
        try:
            self._connection.execute(
                "INSERT INTO event (at, task_id, body) VALUES (?, ?, ?)",
                (time.time(), event.task_id, _encoder.encode(event)),
            )
        except sqlite3.Error as error:
            raise JournalError(f"cannot write to {self.path}: {error}") from error

    def header(self) -> RunHeader:
        row = self._connection.execute("SELECT value FROM header WHERE key = 'run'").fetchone()
        if row is None:
            raise JournalError(f"{self.path} has no header; the run never began")
        return msgspec.json.decode(row[0], type=RunHeader)

    def events(self) -> Iterator[Event]:
        """Every event in the order in which it was recorded."""
        try:
            for (body,) in self._connection.execute("SELECT body FROM event ORDER BY seq"):
                yield _decoder.decode(body)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise JournalError(f"{self.path} is damaged: {error}") from error

    def duration_s(self) -> float:
        """Seconds from the first event to the last."""
        first, last = self._connection.execute("SELECT min(at), max(at) FROM event").fetchone()
        return float(last - first) if first is not None else 0.0

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
