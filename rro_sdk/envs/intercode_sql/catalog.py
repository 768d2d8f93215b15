"""What a database is made of, as MySQL would describe it: tables, columns, keys."""

from __future__ import annotations

import msgspec


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


class Table(msgspec.Struct, frozen=True):
    """One table. `create` is its CREATE TABLE statement in MySQL's dialect; `rows` how many it holds."""

    name: str
    columns: tuple[Column, ...]
    rows: int = 0
    create: str = ""


class Database(msgspec.Struct, frozen=True):
    """One database: its tables in alphabetical order, which is the order of `SHOW TABLES`."""

    name: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table | None:
        """The table of that name, in any case."""
        wanted = name.lower()
        return next((table for table in self.tables if table.name.lower() == wanted), None)

    def schema_text(self) -> str:
        """The schema in few tokens: one `table(column, column)` line a table."""
        return "\n".join(
            f"{table.name}({', '.join(column.name for column in table.columns)})" for table in self.tables
        )


class Catalog(msgspec.Struct, frozen=True):
    """All databases of one dump. `source_sha256` and `converter` say what made the files."""

    source_sha256: str
    converter: int
    databases: tuple[Database, ...]

    def database(self, name: str) -> Database | None:
        """The database of that name, in any case."""
        wanted = name.lower()
        return next((each for each in self.databases if each.name.lower() == wanted), None)

    @property
    def counts(self) -> tuple[int, int, int]:
        """(databases, tables, rows)."""
        tables = [table for database in self.databases for table in database.tables]
        return len(self.databases), len(tables), sum(table.rows for table in tables)
