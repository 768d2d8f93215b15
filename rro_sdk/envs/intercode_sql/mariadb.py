"""Statements run on a MariaDB server, read-only and within limits.

What is sent is the agent's own text, its first statement. Where MySQL 8, on which InterCode was recorded,
and MariaDB differ in what one sees, MySQL's way is taken: only_full_group_by, and groups that nobody
ordered come in the order in which they were met, not sorted.

Nothing that a statement does outlives it: the account can read and no more, statements that change
anything are refused beforehand, and a connection that may remember something (a variable, a lock) is
thrown away.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlglot import Token, TokenType, exp
from sqlglot.errors import SqlglotError, TokenError

from rro_sdk.envs.intercode_sql import group_by, metadata, mysql_errors, refusals
from rro_sdk.envs.intercode_sql.catalog import Catalog, Database
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.mariadb_client import Address, connect, pymysql
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.nodes import Nodes
from rro_sdk.envs.intercode_sql.runner import NEVER, NOW
from rro_sdk.envs.intercode_sql.sandbox import Limits
from rro_sdk.envs.intercode_sql.syntax import Syntax
from rro_sdk.envs.intercode_sql.translate import (
    MAX_CHARACTERS,
    QUERY_STARTS,
    WRITE_STARTS,
    first_statement,
    word,
)
from rro_sdk.errors import DataError, EnvironmentFault

if TYPE_CHECKING:
    from pymysql.connections import Connection

_FETCH = 256
_GRACE_S = 10.0
"""How much longer than the statement's own limit its answer may take."""

_WATCH_S = 0.02
"""How soon a statement whose caller gave up is ended."""

_REMEMBERED = ("@", "lock", "last_insert_id", "sequence", "nextval", "setval", "session")
"""Words of statements after which a connection is not used again."""

_INTERRUPTED = frozenset({1317, 1969})
_LOST = frozenset({0, 2003, 2006, 2013, 2014, 1053, 1152, 1927})
_TOO_LARGE = frozenset({1114, 1290, 1041, 5})
"""A temporary table or a session that outgrew its limit; MariaDB words it as a setting of the server's."""


_SESSION = (
    # MySQL 8's default; only_full_group_by is ours to check, since MariaDB's knows no dependent columns.
    (
        "sql_mode",
        "'STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    ),
    ("group_concat_max_len", 1024),
    ("time_zone", "'+00:00'"),
    ("timestamp", f"UNIX_TIMESTAMP('{NOW.isoformat(' ')}')"),
    # Equal rows of a temporary table in memory are sorted by address, and so differently each time.
    ("tmp_memory_table_size", 0),
)

_CLAUSES = {
    "SELECT": "field list",
    "WHERE": "where clause",
    "ON": "on clause",
    "GROUP BY": "group statement",
    "HAVING": "having clause",
    "ORDER BY": "order clause",
}
"""MariaDB's names of clauses in its errors, and MySQL's."""

_CLAUSE = re.compile(rf"^(?:Unknown c|C)olumn '.*' in '?({'|'.join(_CLAUSES)})(?:'$| is ambiguous$)")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is sent, and what is answered in place of rows."""

    text: str
    refused: str | None = None


class MariaDBRunner:
    """Runs statements with one connection a database. For one thread at a time.

    Args:
        library: says what tables and columns there are.
        limits: what one statement may use.
        address: of the server.
    """

    def __init__(self, library: Library, limits: Limits, address: Address) -> None:
        self._library = library
        self._limits = limits
        self._address = address
        self._errors = pymysql().err
        self._cursors = pymysql().cursors
        self._syntax = Syntax()
        self._connections: dict[str, Connection[Any]] = {}
        self._watcher = _Watcher(self._kill)

    def run(self, name: str, statement: str, cancelled: threading.Event = NEVER) -> Rows | Failure:
        """Run one MySQL statement.

        Args:
            name: the database.
            statement: the text, free of NUL and lone surrogates (`commands.printable`).
            cancelled: ends a running statement when set.

        Raises:
            DataError: there is no such database.
            EnvironmentFault: the server does not answer.
        """
        database = self._library.catalog.database(name)
        if database is None:
            raise DataError(f"there is no database {name!r}")
        prepared = prepare(statement, database, self._library.catalog, self._syntax)
        if not isinstance(prepared, _Prepared):
            return prepared
        fresh = database.name not in self._connections
        try:
            result = self._ask(database, prepared.text, cancelled)
        except _Lost as lost:
            if fresh:
                raise EnvironmentFault(f"MariaDB at {self._address} ended the connection") from lost
            # An idle connection that the server has closed meanwhile is nobody's fault.
            try:
                result = self._ask(database, prepared.text, cancelled)
            except _Lost as again:
                raise EnvironmentFault(f"MariaDB at {self._address} ended the connection") from again
        if prepared.refused is not None and isinstance(result, Rows):
            return Failure(prepared.refused)
        return result

    def close(self) -> None:
        """Close every connection. Safe to call twice."""
        self._watcher.close()
        while self._connections:
            _drop(self._connections.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, database: Database, text: str, cancelled: threading.Event) -> Rows | Failure:
        connection = self._connection(database)
        keep = not any(mark in text.lower() for mark in _REMEMBERED)
        try:
            with self._watcher.watching(connection, cancelled):
                if "rand" in text.lower():
                    connection.query("SET rand_seed1 = 1, rand_seed2 = 2")
                result = self._fetch(connection, text)
            keep = keep and not isinstance(result, _Cut)
            return result.failure if isinstance(result, _Cut) else result
        except self._errors.MySQLError as error:
            code = error.args[0] if error.args else 0
            keep = keep and code not in _LOST
            if code in _LOST and not cancelled.is_set():
                raise _Lost from error
            return Failure(wording(code, str(error.args[-1]) if error.args else ""))
        except (ValueError, OverflowError, MemoryError) as error:
            keep = False  # a value that Python cannot hold, half-way through a result
            return Failure(f"the result cannot be read: {type(error).__name__}")
        finally:
            if not keep or cancelled.is_set():
                self._connections.pop(database.name, None)
                _drop(connection)

    def _fetch(self, connection: Connection[Any], text: str) -> Rows | Failure | _Cut:
        # Not closed when cut: closing an unbuffered cursor reads the rest of its rows.
        cursor = self._cursors.SSCursor(connection)
        cursor.execute(text)
        if cursor.description is None:
            cursor.close()
            return Rows(None)
        rows: list[tuple[object, ...]] = []
        size = 0
        while batch := cursor.fetchmany(_FETCH):
            rows += batch
            size += sum(len(str(row)) for row in batch)
            if len(rows) > self._limits.rows:
                return _Cut(Failure(mysql_errors.TOO_LARGE.format(limit=f"{self._limits.rows} rows")))
            if size > self._limits.result_bytes:
                return _Cut(
                    Failure(mysql_errors.TOO_LARGE.format(limit=f"{self._limits.result_bytes} bytes"))
                )
        cursor.close()
        return Rows(tuple(rows))

    def _connection(self, database: Database) -> Connection[Any]:
        found = self._connections.get(database.name)
        if found is None:
            found = connect(
                self._address, database=database.name.lower(), read_s=self._limits.seconds + _GRACE_S
            )
            with found.cursor() as cursor:
                for name, value in (*_SESSION, ("max_statement_time", self._limits.seconds)):
                    cursor.execute(f"SET SESSION {name} = {value}")
            self._connections[database.name] = found
        return found

    def _kill(self, connection: Connection[Any]) -> None:
        with contextlib.suppress(EnvironmentFault, self._errors.MySQLError):
            with contextlib.closing(connect(self._address)) as other, other.cursor() as cursor:
                cursor.execute(f"KILL QUERY {connection.thread_id()}")


def prepare(
    statement: str, database: Database, catalog: Catalog, syntax: Syntax
) -> _Prepared | Rows | Failure:
    """What the server is asked for a statement, or the answer where it is not asked. Pure."""
    if len(statement) > MAX_CHARACTERS:
        return Failure(mysql_errors.TOO_COMPLEX)
    try:
        tokens = first_statement(syntax.tokens(statement))
    except TokenError:
        return Failure(mysql_errors.syntax(statement))
    if not tokens:
        return Failure(mysql_errors.EMPTY)
    text = statement[tokens[0].start : tokens[-1].end + 1]
    start = tokens[0].text.upper().split(" ")[0]
    if start == "USE":
        answer = metadata.answer([word(token) for token in tokens], statement, database, catalog)
        return answer or Failure(mysql_errors.syntax(text))
    if start in WRITE_STARTS:
        return Failure(mysql_errors.READ_ONLY)
    if start in metadata.STARTS:
        return _Prepared(text)
    if start not in QUERY_STARTS:
        return Failure(mysql_errors.syntax(statement))
    try:
        tree = syntax.tree(tokens, statement)
    except (SqlglotError, RecursionError):
        return _Prepared(text)  # the server's to judge
    if not isinstance(tree, exp.Query):
        return _Prepared(text)
    nodes = Nodes(tree)
    if nodes.first(exp.Into, exp.Lock) is not None:
        return Failure(mysql_errors.READ_ONLY)
    return _Prepared(_unsorted(text, tree, tokens), _refused(nodes, database))


def _refused(nodes: Nodes, database: Database) -> str | None:
    failure = refusals.aggregates(nodes, database)
    return failure.message if failure is not None else group_by.refused(nodes, database)


def _unsorted(text: str, tree: exp.Query, tokens: list[Token]) -> str:
    """Add ORDER BY NULL to groups that nobody ordered: MariaDB sorts them, MySQL 8 does not."""
    if (
        not isinstance(tree, exp.Select)
        or tree.args.get("group") is None
        or tree.args.get("order") is not None
    ):
        return text
    depth, end = 0, len(text)
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
        elif depth == 0 and token.token_type == TokenType.LIMIT:
            end = token.start - tokens[0].start
    return f"{text[:end]} ORDER BY NULL {text[end:]}".rstrip()


def wording(code: int, message: str) -> str:
    """The server's message in MySQL's words."""
    if code in _INTERRUPTED:
        return mysql_errors.TIMED_OUT
    if code in _TOO_LARGE:
        return mysql_errors.OUT_OF_MEMORY
    found = _CLAUSE.search(message)
    if found is not None:
        words = _CLAUSES[found[1]]
        message = message[: found.start(1)] + words + message[found.end(1) :]
    return message.replace("MariaDB server", "MySQL server")


class _Lost(Exception):
    """The connection is gone."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A result that was left half-way."""

    failure: Failure


def _drop(connection: Connection[Any]) -> None:
    with contextlib.suppress(OSError, pymysql().err.MySQLError):
        connection.close()


class _Watcher:
    """Ends the statement of a connection when its caller gives up, from a thread of its own."""

    def __init__(self, kill: Any) -> None:
        self._kill = kill
        self._jobs: queue.SimpleQueue[tuple[threading.Event, threading.Event, Connection[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, connection: Connection[Any], cancelled: threading.Event) -> Any:
        if cancelled is NEVER:
            yield
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="mariadb-watcher", daemon=True)
            self._thread.start()
        finished = threading.Event()
        self._jobs.put((cancelled, finished, connection))
        try:
            yield
        finally:
            finished.set()

    def close(self) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        while (job := self._jobs.get()) is not None:
            cancelled, finished, connection = job
            while not finished.wait(_WATCH_S):
                if cancelled.is_set():
                    self._kill(connection)
                    break
