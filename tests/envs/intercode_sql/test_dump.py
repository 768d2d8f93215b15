"""Reading a dump: what MySQL would say of its tables, and every value as it was written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rro_sdk.envs.intercode_sql.dump import read_dump
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.errors import DataError
from tests.envs.intercode_sql.conftest import DUMP


def test_tables_rows_and_escapes_arrive() -> None:
    dumped = read_dump(DUMP.decode())
    assert list(dumped) == ["bakery", "kinds"]
    assert [each.table.name for each in dumped["bakery"]] == ["baker", "bread", "sale"]
    (thing,) = dumped["kinds"]
    assert thing.table.name == "thing"  # the original runs with lower_case_table_names=1
    assert thing.rows[2][1] == 'it\'s "x"'
    assert thing.rows[2][3] == -2.0
    assert thing.rows[2][2] is None


def test_columns_are_described_as_mysql_does() -> None:
    (thing,) = read_dump(DUMP.decode())["kinds"]
    described = {row[0]: row[1:] for row in (column.described() for column in thing.table.columns)}
    assert described["id"] == ("int", "NO", "PRI", None, "auto_increment")
    assert described["code"] == ("varchar(10)", "NO", "UNI", "", "")
    assert described["price"] == ("decimal(19,4)", "YES", "", None, "")
    assert described["weight"] == ("double", "YES", "MUL", None, "")
    assert described["kept"] == ("timestamp", "NO", "", "CURRENT_TIMESTAMP", "DEFAULT_GENERATED")


def test_rows_come_in_the_order_of_the_primary_key() -> None:
    baker = read_dump(DUMP.decode())["bakery"][0]
    assert [row[0] for row in baker.clustered()] == [1, 2, 3]


def test_plain_text_compares_fast_and_other_text_right() -> None:
    baker = read_dump(DUMP.decode())["bakery"][0]
    (create,) = baker.create_sqlite()
    assert '"name" TEXT COLLATE NOCASE' in create
    assert '"town" TEXT COLLATE GENERAL_CI' in create  # 'Umeå', and 'Lund ' with a space


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CREATE TABLE `t` (`a` int);", "before any USE"),
        ("USE `d`;\nINSERT INTO `t` VALUES (1);", "line 2"),
        ("USE `d`; CREATE TABLE `t` (`a` int);\nINSERT INTO `t` VALUES (1,2);", "line 2.*2 values, not 1"),
        ("USE `d`; CREATE TABLE `t` (`a` int); INSERT INTO `t` VALUES (NOW());", "neither text, a number"),
        ("USE `d`; CREATE TABLE `t` (`a` int); INSERT INTO `t` SELECT 1;", "without VALUES"),
        ("USE `d`; CREATE TABLE `t` (`a` int, ) ENGINE=(((;", "line 1"),
        ("USE `d`; INSERT INTO `t` VALUES ('open", "cannot be read as MySQL"),
    ],
)
def test_a_dump_that_cannot_be_read_says_where(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_dump(text)


def test_the_real_dump_becomes_what_mariadb_made_of_it(spider_library: Library, data_folder: Path) -> None:
    tables = 0
    for database in spider_library.catalog.databases:
        reference = data_folder / "sql" / "sqlite" / f"{database.name}.sqlite"
        with (
            closing(sqlite3.connect(f"file:{spider_library.path(database)}?mode=ro", uri=True)) as ours,
            closing(sqlite3.connect(f"file:{reference}?mode=ro&immutable=1", uri=True)) as theirs,
        ):
            names = [
                {name for (name,) in each.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                for each in (ours, theirs)
            ]
            assert names[0] == names[1] == {table.name for table in database.tables}
            for name in names[0]:
                rows = [list(map(repr, each.execute(f'SELECT * FROM "{name}"'))) for each in (ours, theirs)]
                assert rows[0] == rows[1], (database.name, name)
                tables += 1
    assert tables == 81
    assert all(table.rows == 0 for table in spider_library.catalog.database("wta_1").tables)  # type: ignore[union-attr]
