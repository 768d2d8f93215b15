"""SHOW, DESC and USE: answered from the catalogue as MySQL answers them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rro_sdk.envs.intercode_sql import mysql_errors
from rro_sdk.envs.intercode_sql.catalog import Catalog, Database, Table

STARTS = frozenset({"SHOW", "DESC", "DESCRIBE", "EXPLAIN", "USE"})
SERVER_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")
"""The server's own databases: listed, never readable."""

RESERVED = frozenset({"show"})
"""Of MySQL's reserved words those that sqlglot takes for a table's name and that name one in Spider."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A result that needs no database: rows, or None for a statement that gives none (USE)."""

    rows: tuple[tuple[object, ...], ...] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A statement that the server refuses, with MySQL's message."""

    message: str


@dataclass(frozen=True, slots=True)
class Word:
    """One token of a statement: its text without quotes, whether it was a quoted string, where it starts."""

    text: str
    string: bool
    start: int

    def says(self, *keywords: str) -> bool:
        return not self.string and self.text.upper() in keywords


class _Stop(Exception):
    """Ends the reading of a statement with a failure."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(message)


def answer(
    words: Sequence[Word], statement: str, database: Database, catalog: Catalog
) -> Rows | Failure | None:
    """Answer a statement that starts with one of `STARTS`.

    Args:
        words: its tokens, at least one.
        statement: its text, for the error message.
        database: the episode's own database.
        catalog: all databases, for their names.

    Returns:
        The answer; None for EXPLAIN of a query, which has no faithful answer here.
    """
    reader = _Reader(words, statement, database, catalog)
    try:
        return reader.answer()
    except _Stop as stop:
        return stop.failure


class _Reader:
    def __init__(self, words: Sequence[Word], statement: str, database: Database, catalog: Catalog) -> None:
        self._words = words
        self._at = 1
        self._statement = statement
        self._database = database
        self._catalog = catalog

    def answer(self) -> Rows | None:
        first = self._words[0]
        if first.says("USE"):
            self._known(self._name())
            self._end()
            return Rows(None)
        if first.says("SHOW"):
            return self._show()
        if first.says("EXPLAIN") and self._peek("SELECT", "WITH", "FORMAT", "ANALYZE"):
            return None
        table = self._table()
        column = None if self._done else self._take().text
        self._end()
        return _columns(table, column)

    def _show(self) -> Rows:
        if self._skip("CREATE"):
            self._expect("TABLE")
            table = self._table()
            self._end()
            return Rows(((table.name, table.create),))
        if self._skip("DATABASES", "SCHEMAS"):
            pattern = self._like()
            names = [database.name.lower() for database in self._catalog.databases] + list(SERVER_DATABASES)
            return Rows(tuple((name,) for name in sorted(names) if _matches(name, pattern)))
        full = self._skip("FULL")
        if self._skip("TABLES"):
            if self._skip("FROM", "IN"):
                self._known(self._name())
            pattern = self._like()
            names = [table.name for table in self._database.tables if _matches(table.name, pattern)]
            return Rows(tuple((name, "BASE TABLE") if full else (name,) for name in names))
        if self._skip("COLUMNS", "FIELDS"):
            self._expect("FROM", "IN")
            table = self._table()
            if self._skip("FROM", "IN"):
                self._known(self._name())
            return _columns(table, self._like())
        raise self._syntax()

    def _table(self) -> Table:
        name = self._name()
        if self._skip("."):
            self._known(name)
            name = self._name()
        table = self._database.table(name)
        if table is None:
            raise _Stop(mysql_errors.no_table(self._database.name, name))
        return table

    def _known(self, name: str) -> None:
        """Only the episode's own database can be used."""
        if name.lower() == self._database.name.lower():
            return
        if self._catalog.database(name) is not None or name.lower() in SERVER_DATABASES:
            raise _Stop(mysql_errors.no_access(name))
        raise _Stop(mysql_errors.no_database(name))

    def _like(self) -> str | None:
        if self._done:
            return None
        self._expect("LIKE")
        pattern = self._take().text
        self._end()
        return pattern

    @property
    def _done(self) -> bool:
        return self._at >= len(self._words)

    def _peek(self, *keywords: str) -> bool:
        return not self._done and self._words[self._at].says(*keywords)

    def _skip(self, *keywords: str) -> bool:
        if self._peek(*keywords):
            self._at += 1
            return True
        return False

    def _take(self) -> Word:
        if self._done:
            raise self._syntax()
        self._at += 1
        return self._words[self._at - 1]

    def _name(self) -> str:
        word = self._take()
        reserved = not word.string and word.text.lower() in RESERVED
        if reserved or not re.fullmatch(r"[\w$ ()-]+", word.text):
            self._at -= 1
            raise self._syntax()
        return word.text

    def _expect(self, *keywords: str) -> None:
        if not self._skip(*keywords):
            raise self._syntax()

    def _end(self) -> None:
        if not self._done:
            raise self._syntax()

    def _syntax(self) -> _Stop:
        near = "" if self._done else self._statement[self._words[self._at].start :]
        return _Stop(mysql_errors.syntax(near))


def _columns(table: Table, pattern: str | None) -> Rows:
    return Rows(tuple(column.described() for column in table.columns if _matches(column.name, pattern)))


def _matches(name: str, pattern: str | None) -> bool:
    """SQL's LIKE without case: % is any text, _ any one character."""
    if pattern is None:
        return True
    shell = "".join(
        {"%": "*", "_": "?"}.get(sign, f"[{sign}]" if sign in "*?[" else sign) for sign in pattern
    )
    return fnmatch.fnmatchcase(name.lower(), shell.lower())
