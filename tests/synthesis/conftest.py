"""An invented library as SQLite files, and a small set of tasks made over it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("sqlglot", reason="needs the [envs] extra")

from rro_sdk.envs.intercode_sql.library import EXPECTED_COUNTS, Library, build
from rro_sdk.synthesis.sql import Synthesis, SynthesisSettings, sqlite_library, synthesize

TOWNS = ("Lund", "Umeå", "Kiruna", "Visby", "Malmö")
READERS = (
    "Ada Berg",
    "Bo Dal",
    "Cia Ek",
    "Dag Falk",
    "Eva Grip",
    "Finn Hed",
    "Gun Isak",
    "Hans Järn",
    "Ida Kall",
    "Jon Lind",
)


def write_databases(folder: Path) -> Path:
    """`shelf` (two tables that a third one joins), `boats` (one table) and `coins` (too little for many)."""
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / "shelf.sqlite")) as connection, connection:
        connection.executescript(
            "CREATE TABLE reader (reader_ID INTEGER PRIMARY KEY, Full_Name TEXT, town TEXT, age INT);"
            "CREATE TABLE book (book_id INTEGER PRIMARY KEY, Title VARCHAR(40), Page_count INT, price REAL);"
            "CREATE TABLE loan (reader_ID INT REFERENCES reader (reader_ID), book_id INT, days INT,"
            " FOREIGN KEY (book_id) REFERENCES book (book_id));"
            "CREATE TABLE unread (id INTEGER PRIMARY KEY, word TEXT);"
        )
        connection.executemany(
            "INSERT INTO reader VALUES (?, ?, ?, ?)",
            [(i, name, TOWNS[i % 4], 20 + 3 * i) for i, name in enumerate(READERS)],
        )
        connection.executemany(
            "INSERT INTO book VALUES (?, ?, ?, ?)",
            [
                (i, f"Volume {word}", 90 + 35 * i, 4.5 + i)
                for i, word in enumerate(("one", "two", "six", "ten"))
            ],
        )
        connection.executemany(
            "INSERT INTO loan VALUES (?, ?, ?)", [(i % 9, (i * i) % 4, 7 + i % 3) for i in range(20)]
        )
    with closing(sqlite3.connect(folder / "boats.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE boats (id INTEGER PRIMARY KEY, Name TEXT, Harbour TEXT, Length INT)")
        connection.executemany(
            "INSERT INTO boats VALUES (?, ?, ?, ?)",
            [(i, f"Alma {chr(65 + i)}", TOWNS[i % 5], 6 + i) for i in range(12)],
        )
    with closing(sqlite3.connect(folder / "coins.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE coins (id INTEGER PRIMARY KEY, Metal TEXT)")
        connection.executemany("INSERT INTO coins VALUES (?, ?)", [(1, "Gold"), (2, "Silver"), (3, "Gold")])
    return folder


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_databases(tmp_path_factory.mktemp("synthesis") / "databases")


@pytest.fixture(scope="session")
def library(databases: Path) -> Library:
    return sqlite_library(databases)


@pytest.fixture(scope="session")
def made(library: Library) -> Synthesis:
    return synthesize(library, SynthesisSettings(n=180, seed=3, mistakes=0.5))


@pytest.fixture(scope="session")
def spider_library(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """InterCode's twenty databases, from the dump in the data folder."""
    dump = (data_folder / "sql" / "spider_dev_mysql.sql").read_bytes()
    return build(dump, tmp_path_factory.mktemp("spider") / "built", expect=EXPECTED_COUNTS)
