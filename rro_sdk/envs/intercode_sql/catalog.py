"""What a database is made of, as MySQL would describe it: tables, columns, keys."""

from __future__ import annotations

from functools import cached_property

import msgspec

from rro_sdk.envs.intercode_sql.sqltypes import SqlType, column_type


class Column(msgspec.Struct, frozen=True):
    """One column as `DESC` shows it. `type` is MySQL's text, such as `decimal(19,4)`."""

    name: str
    type: str
    nullable: bool = True
    key: str = ""
    default: str | None = None
    extra: str = ""

    def described(self) -> tuple[str | None, ...]:
        """Its row in the answer to `DESC`."""
        return (self.name, self.type, "YES" if self.nullable else "NO", self.key, self.default, self.extra)


class Table(msgspec.Struct, frozen=True, dict=True):
    """One table.

    Attributes:
        name: its name, as it was created.
        columns: in order.
        rows: how many it holds.
        create: its CREATE TABLE statement in MySQL's dialect.
        numbered: whether SQLite numbers its rows in the order in which they came.
    """

    name: str
    columns: tuple[Column, ...]
    rows: int = 0
    create: str = ""
    numbered: bool = True

    @cached_property
    def shape(self) -> tuple[tuple[str, SqlType], ...]:
        """Lower-case name and type of each column."""
        return tuple((column.name.lower(), column_type(column.type)) for column in self.columns)

    @cached_property
    def names(self) -> frozenset[str]:
        """Lower-case names of its columns."""
        return frozenset(name for name, _ in self.shape)


class Database(msgspec.Struct, frozen=True, dict=True):
    """One database: its tables in alphabetical order, which is the order of `SHOW TABLES`."""

    name: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table | None:
        """The table of that name, in any case."""
        return self._by_name.get(name.lower())

    @cached_property
    def _by_name(self) -> dict[str, Table]:
        return {table.name.lower(): table for table in reversed(self.tables)}

    def schema_text(self) -> str:
        """The schema in few tokens: one `table(column, column)` line a table."""
        return "\n".join(
            f"{table.name}({', '.join(column.name for column in table.columns)})" for table in self.tables
        )


class Catalog(msgspec.Struct, frozen=True, dict=True):
    """All databases of one dump. `source_sha256` and `converter` say what made the files."""

    source_sha256: str
    converter: int
    databases: tuple[Database, ...]

    def database(self, name: str) -> Database | None:
        """The database of that name, in any case."""
        return self._by_name.get(name.lower())

    @cached_property
    def _by_name(self) -> dict[str, Database]:
        return {database.name.lower(): database for database in reversed(self.databases)}

    @property
    def counts(self) -> tuple[int, int, int]:
        """(databases, tables, rows)."""
        tables = [table for database in self.databases for table in database.tables]
        return len(self.databases), len(tables), sum(table.rows for table in tables)
