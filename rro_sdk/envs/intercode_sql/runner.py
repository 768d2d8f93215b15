"""Statements run one after the other, in the calling thread, against a library of databases."""

from __future__ import annotations

import datetime
import re
import threading
from types import TracebackType
from typing import Self

from rro_sdk.envs.intercode_sql import mysql_errors
from rro_sdk.envs.intercode_sql.catalog import Database
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import RESERVED, Failure, Rows
from rro_sdk.envs.intercode_sql.refusals import DUAL
from rro_sdk.envs.intercode_sql.sandbox import Connection, Limits
from rro_sdk.envs.intercode_sql.syntax import Syntax
from rro_sdk.envs.intercode_sql.translate import MAX_CHARACTERS, Query, translate
from rro_sdk.errors import DataError

NOW = datetime.datetime(2023, 6, 1)
"""What NOW() says. A fixed time, so that a statement has one result; about when InterCode was published."""

DEFAULT_LIMITS = Limits(seconds=5.0, steps=10_000_000, rows=20_000, result_bytes=4_000_000)
"""Rows: five times the largest table. Steps: thirty times the most that a recorded statement took."""

NEVER = threading.Event()
"""For a statement that nobody will cancel."""


class Runner:
    """Translates statements and runs them, with one connection a database. For one thread at a time."""

    def __init__(self, library: Library, limits: Limits = DEFAULT_LIMITS) -> None:
        self._library = library
        self._limits = limits
        self._syntax = Syntax()
        self._connections: dict[str, Connection] = {}

    def run(self, name: str, statement: str, cancelled: threading.Event = NEVER) -> Rows | Failure:
        """Run one MySQL statement.

        Args:
            name: the database.
            statement: the text, free of NUL and lone surrogates (`commands.printable`).
            cancelled: ends a running statement when set.

        Raises:
            DataError: there is no such database.
            EnvironmentFault: its file cannot be read.
        """
        database = self._library.catalog.database(name)
        if database is None:
            raise DataError(f"there is no database {name!r}; the first known one is {self._first()!r}")
        connection = self._connection(database)
        missing = _lone_unknown_table(statement, database)
        # What SQLite can read so far that it looks for the table, MySQL can: the rest is not needed.
        if missing is not None and connection.misses(statement, missing):
            return Failure(mysql_errors.no_table(database.name, missing))
        query = translate(statement, database, self._library.catalog, self._syntax)
        return connection.run(query, cancelled) if isinstance(query, Query) else query

    def _connection(self, database: Database) -> Connection:
        found = self._connections.get(database.name)
        if found is None:
            found = Connection(self._library.path(database), database, self._limits, NOW)
            self._connections[database.name] = found
        return found

    def close(self) -> None:
        """Close every connection. Safe to call twice."""
        while self._connections:
            self._connections.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _first(self) -> str:
        return self._library.catalog.databases[0].name if self._library.catalog.databases else ""


def _lone_unknown_table(statement: str, database: Database) -> str | None:
    """The only name after FROM and JOIN that is no table of the database, where there is one.

    Two in five of the statements that agents write ask for a table that is not there, and reading them in
    full only to say so takes three times as long.
    """
    if statement[:7].lower() != "select " or len(statement) > MAX_CHARACTERS:
        return None
    unknown = {name for name in _SOURCES.findall(statement) if database.table(name) is None}
    if len(unknown) != 1:
        return None
    (name,) = unknown
    return None if name.lower() in RESERVED or name.lower() == DUAL else name


_SOURCES = re.compile(r"\b(?:from|join)\s+`?([a-z_]\w*)", re.IGNORECASE | re.ASCII)
