"""Statements that mean harm: each is refused or ended, and nothing is ever written."""

from __future__ import annotations

import hashlib
import logging
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rro_sdk.envs.intercode_sql.commands import Statement, read
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.runner import NOW, Runner
from rro_sdk.envs.intercode_sql.sandbox import Connection, Limits
from rro_sdk.envs.intercode_sql.syntax import Syntax
from rro_sdk.envs.intercode_sql.translate import Query, translate
from rro_sdk.errors import EnvironmentFault

SMALL = Limits(seconds=5.0, steps=2_000_000, rows=500, result_bytes=50_000)

FORBIDDEN = [
    "INSERT INTO baker VALUES (9, 'x', 'y', 1)",
    "UPDATE baker SET age = 1",
    "DELETE FROM baker",
    "REPLACE INTO baker VALUES (1, 'x', 'y', 1)",
    "DROP TABLE baker",
    "CREATE TABLE x (a int)",
    "CREATE TEMPORARY TABLE x (a int)",
    "ALTER TABLE baker ADD COLUMN x int",
    "TRUNCATE TABLE baker",
    "WITH x AS (SELECT 1) DELETE FROM baker",
    "ATTACH DATABASE '/etc/passwd' AS x",
    "DETACH DATABASE main",
    "PRAGMA writable_schema = ON",
    "PRAGMA table_info(baker)",
    "VACUUM INTO '/var/stolen'",
    "REINDEX",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "SET GLOBAL read_only = 0",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE baker",
    "SELECT * FROM baker INTO OUTFILE '/var/stolen'",
    "SELECT name INTO @x FROM baker",
    "SELECT * FROM sqlite_master",
    "SELECT COUNT(*) FROM sqlite_schema",
    "SELECT * FROM main.sqlite_master",
    "SELECT * FROM temp.sqlite_temp_master",
    "SELECT * FROM information_schema_tables",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_stmt",
    "SELECT * FROM pragma_table_info('baker')",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM json_each('[1]')",
    "SELECT load_extension('/var/x.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT LOAD_FILE('/etc/passwd')",
    "SELECT writefile('/var/stolen', 'x')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('x')",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT sqlite_version()",
    "SELECT sqlite_compileoption_get(0)",
    "SELECT SLEEP(1000)",
    "SELECT BENCHMARK(1000000000, 1)",
    "SELECT * FROM baker PROCEDURE ANALYSE()",
    "SELECT rowid, _rowid_, oid FROM baker",
    "CALL x()",
    "KILL 1",
    "GRANT ALL ON *.* TO 'x'",
]

ENDLESS = [
    "SELECT COUNT(*) FROM thing" + "".join(f", thing AS t{number}" for number in range(14)),
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT COUNT(*) FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT MAX(x) FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT GROUP_CONCAT(x) FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) "
    "SELECT GROUP_CONCAT(x ORDER BY x) FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r ORDER BY x DESC",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 'a' UNION ALL SELECT CONCAT(x, x) FROM r) SELECT MAX(LENGTH(x)) FROM r",
    "SELECT " + "REPLACE(" * 12 + "'aaaaaaaa'" + ", 'a', 'aaaaaaaa')" * 12,
    "SELECT RPAD(a.code, 1000, 'x') FROM thing a, thing b, thing c, thing d, thing e",
    "SELECT code FROM thing WHERE code LIKE '" + "%a" * 400 + "'",
    "SELECT code FROM thing WHERE code REGEXP '(a+)+$'",
    "SELECT code FROM thing WHERE code REGEXP '(a|a)*(a|a)*(a|a)*b'",
    "SELECT DATE_FORMAT(made, CONCAT('%', RPAD('9', 900, '9'), 'Y')) FROM thing",
    "SELECT STR_TO_DATE('1', '%d%d%d%d%d%d%d%d') FROM thing",
]

MALFORMED = [
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT " + "NOT " * 1_900 + "1",
    "SELECT 1" + " + 1" * 950,
    "SELECT " + "- " * 1_900 + "1",
    "SELECT 1" + " UNION SELECT 1" * 400,
    "SELECT " + "CASE WHEN 1 THEN " * 400 + "1" + " END" * 400,
    "SELECT * FROM thing" + "".join(f", thing AS t{number}" for number in range(80)),
    "SELECT " + ", ".join(["1"] * 900),
    "SELECT " + "1," * 400_000,
    "x" * 1_000_000,
    "'" * 100_001,
    "\x00",
    "SELECT '\x00'",
    "SELECT '\ud800'",
    "SELECT \x1b[31m code FROM thing",
    "SELECT CHAR(55296), CHAR(0), x'ff'",
    "SELECT 1e999, -1e999, 1e999 - 1e999, 99999999999999999999999 + 1, ROUND(1.5, 999999)",
    "SELECT SUM(9223372036854775807) FROM thing",
    "SELECT @@version, @x",
    "SELECT /*!50000 1 */",
    "SELECT `",
    "SELECT ?",
    "SELECT :name",
    "```",
    "execute[",
    "🥖" * 3_000,
]


def contents(library: Library) -> dict[str, str]:
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in library.folder.iterdir()}


@pytest.fixture(scope="module")
def small(bakery_library: Library) -> Iterator[Runner]:
    before = contents(bakery_library)
    with Runner(bakery_library, SMALL) as runner:
        yield runner
    assert contents(bakery_library) == before


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_what_is_forbidden_is_refused(small: Runner, statement: str) -> None:
    assert isinstance(small.run("bakery", statement), Failure)
    assert small.run("bakery", "SELECT COUNT(*), MAX(age) FROM baker") == Rows(((3, 51),))


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO baker VALUES (9, 'x', 'y', 1)",
        "CREATE TEMP TABLE x (a)",
        "PRAGMA query_only = OFF",
        "ATTACH DATABASE ':memory:' AS x",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pragma_table_info('baker')",
        "SELECT randomblob(5)",
        "SELECT date('now')",
    ],
)
def test_the_connection_itself_refuses_what_translation_would_let_through(
    bakery_library: Library, sql: str
) -> None:
    """The walls do not lean on each other: raw SQLite, past the translator, gets nowhere either."""
    database = bakery_library.catalog.database("bakery")
    assert database is not None
    harmless = translate("SELECT 1", database, bakery_library.catalog, Syntax())
    assert isinstance(harmless, Query)
    connection = Connection(bakery_library.path(database), database, SMALL, NOW)
    try:
        assert isinstance(connection.run(Query(sql, (), harmless.tree), threading.Event()), Failure)
    finally:
        connection.close()


@pytest.mark.parametrize("statement", ENDLESS)
def test_what_does_not_end_is_ended(small: Runner, statement: str) -> None:
    before = time.monotonic()
    result = small.run("kinds", statement)
    # What is refused by its shape, or turns out harmless, is fine too: but soon, and small.
    assert time.monotonic() - before < SMALL.seconds + 2
    assert isinstance(result, Failure) or len(str(result.rows)) <= SMALL.result_bytes
    assert small.run("kinds", "SELECT COUNT(*) FROM thing") == Rows(((3,),))


def test_the_step_limit_ends_a_statement_with_mysqls_words(small: Runner) -> None:
    result = small.run("kinds", ENDLESS[1])
    assert result == Failure("Query execution was interrupted, maximum statement execution time exceeded")


def test_the_clock_ends_a_statement(bakery_library: Library) -> None:
    with Runner(bakery_library, Limits(seconds=0.05, steps=10**12, rows=10, result_bytes=100)) as runner:
        assert isinstance(runner.run("kinds", ENDLESS[1]), Failure)


def test_a_cancelled_statement_ends(bakery_library: Library) -> None:
    cancelled = threading.Event()
    threading.Timer(0.05, cancelled.set).start()
    with Runner(bakery_library, Limits(seconds=60, steps=10**12, rows=10, result_bytes=100)) as runner:
        before = time.monotonic()
        runner.run("kinds", ENDLESS[1], cancelled)
    assert time.monotonic() - before < 30


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(seconds=5, steps=10**7, rows=2, result_bytes=10**6), "larger than 2 rows"),
        (Limits(seconds=5, steps=10**7, rows=100, result_bytes=20), "larger than 20 bytes"),
    ],
)
def test_a_large_result_is_an_error_that_says_so(bakery_library: Library, limits: Limits, words: str) -> None:
    with Runner(bakery_library, limits) as runner:
        result = runner.run("bakery", "SELECT name, town FROM baker")
    assert isinstance(result, Failure)
    assert words in result.message


@pytest.mark.parametrize("command", MALFORMED, ids=range(len(MALFORMED)))
def test_no_text_crashes_it(small: Runner, command: str, caplog: pytest.LogCaptureFixture) -> None:
    asked = read(command)
    assert isinstance(asked, Statement)
    with caplog.at_level(logging.DEBUG):
        result = small.run("kinds", asked.text)
    said = result.message if isinstance(result, Failure) else str(result.rows)
    said.encode("utf-8")
    assert len(said) < SMALL.result_bytes
    # sqlglot warns of what it does not know with the statement in its message: that must not happen.
    assert not caplog.records


def test_hostile_statements_do_not_fill_the_memory(small: Runner) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for statement in ENDLESS:
        small.run("kinds", statement)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 150


@pytest.mark.parametrize("damage", [b"not a database" * 200, b""])
def test_a_damaged_file_is_a_fault_of_the_world(
    bakery_library: Library, tmp_path: Path, damage: bytes
) -> None:
    whole = bakery_library.path(bakery_library.catalog.databases[0]).read_bytes()
    library = Library(tmp_path, bakery_library.catalog)
    # Its first page stands, so that it opens; what comes after is gone or rubbish.
    (tmp_path / "bakery.sqlite").write_bytes(whole[:4096] + damage)
    with Runner(library) as runner, pytest.raises(EnvironmentFault, match="bakery"):
        runner.run("bakery", "SELECT * FROM baker, bread, sale")


def test_a_missing_file_is_a_fault_of_the_world(bakery_library: Library, tmp_path: Path) -> None:
    with (
        Runner(Library(tmp_path, bakery_library.catalog)) as runner,
        pytest.raises(EnvironmentFault, match="opened"),
    ):
        runner.run("bakery", "SELECT 1")
