"""The tables of a journal, and how an older file becomes one of today.

version 1   header, event
version 2   event has its kind and a key that makes it unique; task, turn and rollout are new
"""

from __future__ import annotations

import sqlite3

from rro_sdk.errors import JournalError

VERSION = 2

TABLES = {
    "task": "id",
    "turn": "task_id, attempt, step, candidate, rollout, turn",
    "rollout": "task_id, attempt, step, candidate, rollout",
    "event": "seq",
}
"""Tables beside the header, with the columns by which their rows are ordered in the file."""

_TABLES = """
CREATE TABLE task (id TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE turn (
  task_id TEXT NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL, candidate INTEGER NOT NULL,
  rollout INTEGER NOT NULL, turn INTEGER NOT NULL,
  at REAL NOT NULL, prompt BLOB NOT NULL, reply TEXT NOT NULL, command TEXT, error TEXT,
  prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  weight_versions TEXT NOT NULL, server TEXT NOT NULL,
  PRIMARY KEY (task_id, attempt, step, candidate, rollout, turn)
) WITHOUT ROWID;
CREATE TABLE rollout (
  task_id TEXT NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL, candidate INTEGER NOT NULL,
  rollout INTEGER NOT NULL,
  outcome REAL NOT NULL, truncated INTEGER NOT NULL, fault TEXT,
  PRIMARY KEY (task_id, attempt, step, candidate, rollout)
) WITHOUT ROWID;
"""

_EVENTS = """
CREATE TABLE header (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, at REAL NOT NULL, task_id TEXT NOT NULL, body BLOB NOT NULL, kind TEXT, once TEXT
);
"""

# An event that can happen once only has a key within its task; NULL is equal to nothing in an index.
_ONCE = "CREATE UNIQUE INDEX event_once ON event (task_id, once);"

CREATE = f"{_EVENTS}{_ONCE}{_TABLES}"

FILL_FROM_1 = (
    "UPDATE event SET kind = json_extract(CAST(body AS TEXT), '$.type')",
    "UPDATE event SET once = kind || '/' || json_extract(CAST(body AS TEXT), '$.step')"
    " WHERE kind = 'StepRecord'",
    "UPDATE event SET once = kind WHERE kind = 'TaskEnd'",
)
"""What version 1 did not write beside an event, from the event itself."""

_FROM_1 = f"""
ALTER TABLE event ADD COLUMN kind TEXT;
ALTER TABLE event ADD COLUMN once TEXT;
{"; ".join(FILL_FROM_1)};
{_ONCE}{_TABLES}
"""


def version_of(connection: sqlite3.Connection) -> int:
    """The file's schema version; 0 for a file without tables.

    Raises:
        sqlite3.Error: it is no database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def refuse_later(version: int, name: str) -> None:
    """Raise unless this SDK reads that version.

    Raises:
        JournalError: it was made by a later one, or nothing was written to it yet.
    """
    if version == 0:
        raise JournalError(f"{name} holds no run: it was ended before it began")
    if not 1 <= version <= VERSION:
        raise JournalError(
            f"{name} has schema version {version}; this SDK reads 1 to {VERSION}: use the SDK that wrote it"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an older file to today's tables, in one transaction."""
    if version_of(connection) == 1:
        connection.executescript(f"BEGIN IMMEDIATE; {_FROM_1} PRAGMA user_version={VERSION}; COMMIT;")
