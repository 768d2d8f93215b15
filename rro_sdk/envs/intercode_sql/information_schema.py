"""The part of MySQL's information_schema that agents ask for, about the episode's own database."""

from __future__ import annotations

import sqlite3

from rro_sdk.envs.intercode_sql.catalog import Database

NAME = "information_schema"
_PREFIX = "information_schema_"

_COLUMNS = {
    "tables": (
        "TABLE_CATALOG",
        "TABLE_SCHEMA",
        "TABLE_NAME",
        "TABLE_TYPE",
        "ENGINE",
        "TABLE_ROWS",
        "TABLE_COLLATION",
    ),
    "columns": (
        "TABLE_CATALOG",
        "TABLE_SCHEMA",
        "TABLE_NAME",
        "COLUMN_NAME",
        "ORDINAL_POSITION",
        "COLUMN_DEFAULT",
        "IS_NULLABLE",
        "DATA_TYPE",
        "COLUMN_TYPE",
        "COLUMN_KEY",
        "EXTRA",
    ),
}


def table_name(name: str) -> str | None:
    """The name under which a connection holds one of its tables, None for one that it has not."""
    return f"{_PREFIX}{name.lower()}" if name.lower() in _COLUMNS else None


def create(connection: sqlite3.Connection, database: Database) -> frozenset[str]:
    """Fill the tables as temporary ones of a connection, and give their names."""
    schema = database.name.lower()
    tables: list[tuple[object, ...]] = [
        ("def", schema, table.name, "BASE TABLE", "InnoDB", table.rows, "utf8mb4_general_ci")
        for table in database.tables
    ]
    columns: list[tuple[object, ...]] = [
        ("def", schema, table.name, column.name, place, column.default, "YES" if column.nullable else "NO",
         column.type.partition("(")[0], column.type, column.key, column.extra)
        for table in database.tables
        for place, column in enumerate(table.columns, 1)
    ]  # fmt: skip
    for name, rows in (("tables", tables), ("columns", columns)):
        named = ", ".join(f"{column} COLLATE NOCASE" for column in _COLUMNS[name])
        connection.execute(f"CREATE TEMP TABLE {_PREFIX}{name} ({named})")
        marks = ", ".join("?" * len(_COLUMNS[name]))
        connection.executemany(f"INSERT INTO {_PREFIX}{name} VALUES ({marks})", rows)
    return frozenset(f"{_PREFIX}{name}" for name in _COLUMNS)
