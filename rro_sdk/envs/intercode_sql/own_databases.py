"""Your own databases: a folder of SQLite files as a library."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from rro_sdk._wheels import digest_of
from rro_sdk.envs.intercode_sql.catalog import Catalog, Column, Database, Table
from rro_sdk.envs.intercode_sql.library import CONVERTER, Library, open_library
from rro_sdk.errors import ConfigError, DataError

_TYPES = {"INT": "int", "CHAR": "text", "CLOB": "text", "TEXT": "text", "DATE": "text"}
_TYPES |= dict.fromkeys(("REAL", "FLOA", "DOUB", "DEC", "NUM"), "double")
"""MySQL's name for declared SQLite types that contain a word, in SQLite's own order of looking."""


def sqlite_library(folder: Path) -> Library:
    """Every `NAME.sqlite` in the folder as the database NAME; the files are only read.

    `InterCodeSQL(databases=FOLDER)` plays tasks over it, as does `-e databases=FOLDER` on the command line.

    Raises:
        ConfigError: the folder holds no such file.
        DataError: one of them is no SQLite database.
    """
    paths = sorted(folder.glob("*.sqlite")) if folder.is_dir() else []
    if not paths:
        raise ConfigError(f"{folder} holds no *.sqlite file: give a folder with at least one")
    digest = hashlib.sha256()
    databases = []
    for path in paths:
        log = path.with_name(f"{path.name}-wal")
        if log.is_file() and log.stat().st_size:
            raise DataError(
                f"{path} has changes that are not in it yet, in {log.name}; close what writes to it, or write"
                " them with PRAGMA wal_checkpoint(TRUNCATE)"
            )
        try:
            digest.update(digest_of(path).encode())
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                databases.append(Database(path.stem, _tables(connection)))
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"{path} is no SQLite database that can be read: {error}") from error
    return Library(folder, Catalog(digest.hexdigest(), CONVERTER, tuple(databases)))


def library_of(databases: str | None, cache: Path | None = None) -> Library:
    """The databases of that folder; InterCode's where none is named, kept in `cache`.

    Raises:
        ConfigError: they cannot be had.
        DataError: a file is not what it should be.
    """
    return open_library(cache) if databases is None else sqlite_library(Path(databases))


def _tables(connection: sqlite3.Connection) -> tuple[Table, ...]:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    return tuple(_table(connection, name) for (name,) in names)


def _table(connection: sqlite3.Connection, name: str) -> Table:
    quoted = '"' + name.replace('"', '""') + '"'
    keys = connection.execute(f"PRAGMA foreign_key_list({quoted})").fetchall()
    children = {key[3] for key in keys}
    columns = tuple(
        Column(
            column, _type(declared), not required, "PRI" if primary else "MUL" if column in children else ""
        )
        for _, column, declared, required, _, primary in connection.execute(f"PRAGMA table_info({quoted})")
    )
    rows = connection.execute(f"SELECT COUNT(*) FROM {quoted}").fetchone()[0]
    return Table(name, columns, rows, _create(name, columns, keys), _numbered(connection, quoted, columns))


def _numbered(connection: sqlite3.Connection, quoted: str, columns: tuple[Column, ...]) -> bool:
    """See `Table.numbered`: not so of WITHOUT ROWID, and where a column has taken the number's name."""
    if any(column.name.lower() == "rowid" for column in columns):
        return False
    try:
        connection.execute(f"SELECT rowid FROM {quoted} LIMIT 0")
    except sqlite3.OperationalError:
        return False
    return True


def _type(declared: str) -> str:
    """MySQL's name for a declared SQLite type; what SQLite does not know is text."""
    return next((mysql for part, mysql in _TYPES.items() if part in declared.upper()), "text")


def _create(name: str, columns: tuple[Column, ...], keys: list[tuple[object, ...]]) -> str:
    """The table as MySQL's SHOW CREATE TABLE writes it."""
    parts = [f"  `{column.name}` {column.type}{'' if column.nullable else ' NOT NULL'}" for column in columns]
    primary = ", ".join(f"`{column.name}`" for column in columns if column.key == "PRI")
    if primary:
        parts.append(f"  PRIMARY KEY ({primary})")
    parts += [
        f"  FOREIGN KEY (`{child}`) REFERENCES `{parent}` (`{key}`)"
        for _, _, parent, child, key, *_ in keys
        if key is not None
    ]
    return f"CREATE TABLE `{name}` (\n" + ",\n".join(parts) + "\n)"
