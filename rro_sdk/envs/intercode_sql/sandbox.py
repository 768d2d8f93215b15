"""Running statements that nobody has vouched for against the databases, read-only and within limits.

Several walls, each enough against what it is for: the file is opened immutable and read-only; an
authorizer allows nothing but reading the database's own tables and calling listed functions; SQLite's
own limits bound what a statement may build; a count of virtual-machine steps, the clock and a row
and byte limit end what runs too long. The step count is the same on every machine, so that a
statement which is stopped is stopped everywhere; the clock is for when the machine itself is slow.
"""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rro_sdk.envs.intercode_sql import information_schema, mysql_errors
from rro_sdk.envs.intercode_sql.catalog import Database
from rro_sdk.envs.intercode_sql.collation import GENERAL_CI, compare_general_ci
from rro_sdk.envs.intercode_sql.functions import Chance, Clock, register
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.sqltypes import present
from rro_sdk.envs.intercode_sql.translate import Query
from rro_sdk.errors import EnvironmentFault

_CHECK_EVERY = 10_000
"""Virtual-machine steps between two looks at the limits: about 0.2 ms."""

_FETCH = 256

_LIMITS = (
    # A value or a row. Also bounds single steps, such as one REPLACE, that no progress handler can end.
    (sqlite3.SQLITE_LIMIT_LENGTH, 100_000),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000),
    (sqlite3.SQLITE_LIMIT_COLUMN, 500),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 100_000),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 100),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
    (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 0),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)

_BROKEN = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB)
"""Error codes that are the file's fault."""

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may use.

    Attributes:
        seconds: wall time.
        steps: SQLite virtual-machine steps.
        rows: rows of a result.
        result_bytes: characters of its printed form.
    """

    seconds: float
    steps: int
    rows: int
    result_bytes: int


class Connection:
    """One guarded connection to one database. For one thread at a time."""

    def __init__(self, path: Path, database: Database, limits: Limits, now: datetime.datetime) -> None:
        self._limits = limits
        self._tables = frozenset(table.name.lower() for table in database.tables)
        self._database = database
        self._chance = Chance()
        self._ctes: frozenset[str] = frozenset()
        try:
            self._sqlite = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro&immutable=1",
                uri=True,
                check_same_thread=False,
                isolation_level=None,
            )
            self._tables |= information_schema.create(self._sqlite, database)
            self._sqlite.execute("PRAGMA query_only = ON")
            self._sqlite.execute("PRAGMA trusted_schema = OFF")
            # The schema is read here, before the authorizer forbids reading it.
            self._sqlite.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise EnvironmentFault(f"the database file {path} cannot be opened: {error}") from error
        self._sqlite.create_collation(GENERAL_CI, compare_general_ci)
        self._functions = register(self._sqlite, Clock(now), self._chance)
        for category, limit in _LIMITS:
            self._sqlite.setlimit(category, limit)
        self._sqlite.set_authorizer(self._authorize)

    def run(self, query: Query, cancelled: threading.Event) -> Rows | Failure:
        """Run one translated statement to its end or to a limit.

        Args:
            query: what to run.
            cancelled: ends it when set; its result is then of no use.

        Raises:
            EnvironmentFault: the database file cannot be read.
        """
        stopped: list[bool] = []
        self._watch(cancelled, stopped)
        self._chance.restart()
        self._ctes = query.ctes
        try:
            result = self._fetch(query.sql, query)
            if query.refused is not None and isinstance(result, Rows):
                return Failure(query.refused)
            if isinstance(result, Rows) and any(map(self._has_more_rows, query.single)):
                return Failure(mysql_errors.MANY_ROWS)
            if query.order_sql is None or isinstance(result, Failure) or len(result.rows or ()) < 2:
                return result
            met = self._fetch(query.order_sql, query)
            return Rows(_reordered(result.rows or (), met.rows or ())) if isinstance(met, Rows) else met
        except (sqlite3.Error, sqlite3.Warning) as error:
            if stopped:
                return Failure(mysql_errors.TIMED_OUT)
            # Errors of Python's own module, such as text that is not UTF-8, carry no code.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
                raise EnvironmentFault(
                    f"the database {self._database.name} cannot be read: {error}"
                ) from error
            return Failure(self._wording(error, query))
        except (MemoryError, OverflowError, UnicodeError, ValueError) as error:
            return Failure(self._wording(error, query))
        finally:
            self._sqlite.set_progress_handler(None, 0)

    def misses(self, statement: str, table: str) -> bool:
        """Whether SQLite reads a statement, which it does not run, and finds that this table is missing."""
        try:
            self._sqlite.execute(f"EXPLAIN {statement}").close()
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            return str(error) == f"no such table: {table}"
        return False

    def close(self) -> None:
        self._sqlite.close()

    def _watch(self, cancelled: threading.Event, stopped: list[bool]) -> None:
        """Arm the step and time limits, which put something into `stopped` when they end a statement."""
        deadline = time.monotonic() + self._limits.seconds
        checks = self._limits.steps // _CHECK_EVERY

        def look() -> int:
            nonlocal checks
            checks -= 1
            if checks < 0 or time.monotonic() > deadline or cancelled.is_set():
                stopped.append(True)
                return 1
            return 0

        self._sqlite.set_progress_handler(look, _CHECK_EVERY)

    def _fetch(self, sql: str, query: Query) -> Rows | Failure:
        with contextlib.closing(self._sqlite.execute(sql)) as cursor:
            return self._collect(cursor, query)

    def _has_more_rows(self, sql: str) -> bool:
        """Whether a query that can run alone has more than one row."""
        try:
            cursor = self._sqlite.execute(sql)
        except sqlite3.OperationalError:
            return False
        with contextlib.closing(cursor):
            return len(cursor.fetchmany(2)) > 1

    def _collect(self, cursor: sqlite3.Cursor, query: Query) -> Rows | Failure:
        width = len(cursor.description or ())
        # A star over NATURAL JOIN or USING has fewer columns than its tables: types unknown.
        types = query.types if len(query.types) == width else (None,) * width
        rows: list[tuple[object, ...]] = []
        size = 0
        while batch := cursor.fetchmany(_FETCH):
            for row in batch:
                shown = present(row, types)
                size += len(str(shown))
                rows.append(shown)
            if len(rows) > self._limits.rows:
                return Failure(mysql_errors.TOO_LARGE.format(limit=f"{self._limits.rows} rows"))
            if size > self._limits.result_bytes:
                return Failure(mysql_errors.TOO_LARGE.format(limit=f"{self._limits.result_bytes} bytes"))
        return Rows(tuple(rows))

    def _wording(self, error: Exception, query: Query) -> str:
        if query.refused is not None and "misuse of aggregate" in str(error):
            return query.refused
        return mysql_errors.from_sqlite(str(error), query.tree, self._database.name)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first is not None:
            # A WITH of which no column is read is announced by its name and an empty column.
            known = first.lower() in self._tables or (second == "" and first.lower() in self._ctes)
            return sqlite3.SQLITE_OK if known else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and second is not None and second.lower() in self._functions:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def _reordered(
    rows: Sequence[tuple[object, ...]], met: Sequence[tuple[object, ...]]
) -> tuple[tuple[object, ...], ...]:
    """`rows` in the order in which the same rows, compared without case, first stand in `met`."""
    first: dict[str, int] = {}
    for place, row in enumerate(met):
        first.setdefault(str(row).lower(), place)
    return tuple(sorted(rows, key=lambda row: first.get(str(row).lower(), len(met))))
