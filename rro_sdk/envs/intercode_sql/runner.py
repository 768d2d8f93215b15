"""Statements run one after the other, in the calling thread, against a library of databases."""

from __future__ import annotations

import datetime
import threading
from types import TracebackType
from typing import Self

from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.sandbox import Connection, Limits
from rro_sdk.envs.intercode_sql.syntax import Syntax
from rro_sdk.envs.intercode_sql.translate import Query, translate
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
        query = translate(statement, database, self._library.catalog, self._syntax)
        if not isinstance(query, Query):
            return query
        connection = self._connections.get(database.name)
        if connection is None:
            connection = Connection(self._library.path(database), database, self._limits, NOW)
            self._connections[database.name] = connection
        return connection.run(query, cancelled)

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
