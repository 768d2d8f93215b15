"""The MariaDB backend: what is sent, and on a real server what comes back and what does not stay."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rro_sdk.envs.intercode_sql import InterCodeSQL, mariadb_server
from rro_sdk.envs.intercode_sql.backends import open_runner
from rro_sdk.envs.intercode_sql.catalog import Database
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.mariadb import MariaDBRunner, prepare, wording
from rro_sdk.envs.intercode_sql.mariadb_client import Address, connect, read_address
from rro_sdk.envs.intercode_sql.mariadb_server import Server, down, running, up
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.mysql_errors import OUT_OF_MEMORY, READ_ONLY, TIMED_OUT
from rro_sdk.envs.intercode_sql.runner import DEFAULT_LIMITS, Runner
from rro_sdk.envs.intercode_sql.syntax import Syntax
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.types import Task
from tests.cli.test_cli import rro
from tests.envs.intercode_sql.conftest import DUMP

installed = pytest.mark.skipif(
    shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None,
    reason=mariadb_server.INSTALL,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mariadb") / "kept"


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    yield up(folder, dump=DUMP)
    down(folder)


@pytest.fixture
def maria(server: Server, bakery_library: Library) -> Iterator[MariaDBRunner]:
    with MariaDBRunner(bakery_library, DEFAULT_LIMITS, server.address) as runner:
        yield runner


def limited(server: Server, library: Library, **limits: float) -> MariaDBRunner:
    found = dataclasses.replace(DEFAULT_LIMITS, **limits)  # type: ignore[arg-type]
    return MariaDBRunner(library, found, server.address)


# --- what is sent ----------------------------------------------------------------------------------------


@pytest.fixture
def bakery(bakery_library: Library) -> Database:
    found = bakery_library.catalog.database("bakery")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        ("SELECT 1; DROP TABLE baker", "SELECT 1"),
        ("/* hm */ SELECT 1 -- end", "SELECT 1"),
        ("DESC baker", "DESC baker"),
        ("EXPLAIN SELECT 1", "EXPLAIN SELECT 1"),
        ("SELECT FROM WHERE", "SELECT FROM WHERE"),
        ("SELECT town FROM baker GROUP BY town", "SELECT town FROM baker GROUP BY town ORDER BY NULL"),
        (
            "SELECT town FROM baker GROUP BY town LIMIT 1",
            "SELECT town FROM baker GROUP BY town  ORDER BY NULL LIMIT 1",
        ),
        ("SELECT id FROM baker GROUP BY id ORDER BY id", "SELECT id FROM baker GROUP BY id ORDER BY id"),
        (
            "SELECT * FROM (SELECT town FROM baker GROUP BY town LIMIT 1) AS x",
            "SELECT * FROM (SELECT town FROM baker GROUP BY town LIMIT 1) AS x",
        ),
    ],
)
def test_the_first_statement_is_sent_as_it_is_but_for_the_order_of_groups(
    bakery: Database, bakery_library: Library, statement: str, sent: str
) -> None:
    prepared = prepare(statement, bakery, bakery_library.catalog, Syntax())
    assert getattr(prepared, "text", prepared) == sent


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE baker", READ_ONLY),
        ("SET max_statement_time = 0", READ_ONLY),
        ("SELECT 1 INTO @x", READ_ONLY),
        ("SELECT * FROM baker FOR UPDATE", READ_ONLY),
        ("USE kinds", "Access denied"),
        ("HELLO", "You have an error in your SQL syntax"),
        ("XA START 'x'", "You have an error in your SQL syntax"),
        ("/*! SET @x = 1 */", "Query was empty"),
        ("", "Query was empty"),
        ("SELECT '" + "a" * 20_000 + "'", "too long"),
    ],
)
def test_what_could_change_anything_is_not_sent(
    bakery: Database, bakery_library: Library, statement: str, words: str
) -> None:
    answer = prepare(statement, bakery, bakery_library.catalog, Syntax())
    assert isinstance(answer, Failure)
    assert words in answer.message


def test_use_of_its_own_database_gives_no_rows(bakery: Database, bakery_library: Library) -> None:
    assert prepare("USE bakery", bakery, bakery_library.catalog, Syntax()) == Rows(None)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mysql://agent:p%40ss@db:3307", Address("db", 3307, "agent", "p@ss")),
        ("mariadb://127.0.0.1", Address("127.0.0.1", 3306, "root")),
    ],
)
def test_an_address_is_read(url: str, address: Address) -> None:
    assert read_address(url) == address


@pytest.mark.parametrize("url", ["db:3306", "http://db", "mysql://:secret@", "mysql://u:secret@db:x"])
def test_a_wrong_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="mysql://user:password@host:port") as caught:
        read_address(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(Address("db", 1, "u", "secret"))


def test_a_missing_program_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(ConfigError, match=r"apt-get install .*mariadb-server-core"):
        up(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_without_a_server_the_environment_says_how_to_start_one(
    bakery_library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="rro env up mariadb"):
        InterCodeSQL(library=bakery_library, backend="mariadb")
    with pytest.raises(ConfigError, match="backend"):
        open_runner("oracle", bakery_library)
    assert down() is False


# --- a real server ---------------------------------------------------------------------------------------

SAME = [
    "SELECT name, town FROM baker WHERE town = 'LUND' ORDER BY age",
    "SELECT SUM(age), AVG(age), COUNT(*), MAX(age) FROM baker",
    "SELECT price * 2, title FROM bread ORDER BY id",
    "SELECT town, COUNT(*) FROM baker GROUP BY town ORDER BY town",
    "SELECT name FROM baker WHERE id IN (SELECT baker_id FROM sale WHERE loaves > 5) ORDER BY id",
    "SELECT 7 / 2, 7 DIV 2, 7 / 0",
    "SELECT name FROM baker WHERE age > '40' ORDER BY id",
    "SELECT bread_id, COUNT(*) FROM sale GROUP BY bread_id",
    "SELECT loaves FROM sale GROUP BY loaves HAVING loaves < 8",
    "SHOW TABLES",
    "SELECT NOW(), SYSDATE(), CURDATE()",
    "SELECT nam FROM baker",
    "SELECT * FROM cakes",
    "SELECT town, name FROM baker GROUP BY town",
    "SELECT MAX(age), name FROM baker",
    "SELECT name, nam FROM baker GROUP BY town",
    # a subquery in a value's place, and what stands outside of parentheses
    "SELECT name FROM baker WHERE age = (SELECT age FROM baker)",
    "SELECT (SELECT id FROM baker UNION SELECT 7)",
    "SELECT name FROM baker WHERE id = ((SELECT id FROM baker ORDER BY id DESC) LIMIT 1)",
    "SELECT IF(1, 2, (SELECT id FROM baker)), COALESCE(1, (SELECT id FROM baker))",
    "SELECT name FROM baker WHERE id = 77 AND age = (SELECT age FROM baker)",
    "SELECT name FROM baker WHERE id = 1 OR age = (SELECT age FROM baker)",
    "WITH sale AS (SELECT 2 AS id) SELECT name FROM baker WHERE id = (SELECT id FROM sale)",
    "(SELECT name FROM baker) ORDER BY baker.age DESC LIMIT 1",
    "((SELECT id FROM baker ORDER BY id DESC) LIMIT 2) LIMIT 1",
    "(SELECT id, age FROM baker ORDER BY id DESC LIMIT 2) ORDER BY age LIMIT 1",
    "((SELECT id FROM baker) LIMIT 1) UNION SELECT 7",
    "WITH old AS (SELECT id FROM baker WHERE age > 40) (SELECT id FROM old) LIMIT 1",
]


@installed
@pytest.mark.parametrize("statement", SAME)
def test_it_answers_as_sqlite_does(maria: MariaDBRunner, runner: Runner, statement: str) -> None:
    assert maria.run("bakery", statement) == runner.run("bakery", statement)


@installed
def test_values_arrive_in_their_types(maria: MariaDBRunner, runner: Runner) -> None:
    statement = "SELECT id, code, price, rate, made, seen, year FROM thing ORDER BY id"
    assert maria.run("kinds", statement) == runner.run("kinds", statement)


@installed
def test_ties_come_out_the_same_every_time(server: Server, bakery_library: Library) -> None:
    tied = "SELECT baker_id FROM sale GROUP BY baker_id ORDER BY COUNT(*) > 0 LIMIT 1"
    seen = set()
    for size in range(8):
        with limited(server, bakery_library) as runner:
            runner.run("bakery", f"SELECT REPEAT('x', {1 + 1000 * size})")  # so that memory lies elsewhere
            seen.add(runner.run("bakery", tied))
    assert len(seen) == 1


@installed
def test_nothing_that_a_statement_does_outlives_it(maria: MariaDBRunner, server: Server) -> None:
    assert maria.run("bakery", "SELECT @kept := 5") == Rows(((5,),))
    assert maria.run("bakery", "SELECT @kept") == Rows(((None,),))
    assert maria.run("bakery", "SELECT GET_LOCK('all', 0)") == Rows(((1,),))
    assert maria.run("kinds", "SELECT IS_FREE_LOCK('all')") == Rows(((1,),))
    first = maria.run("bakery", "SELECT RAND(), RAND()")
    assert maria.run("bakery", "SELECT RAND(), RAND()") == first
    with contextlib.closing(connect(server.address, database="bakery")) as connection:
        for statement in (
            "INSERT INTO baker VALUES (9, 'Eva', 'Kiel', 30)",
            "DROP TABLE baker",
            "CREATE TABLE mine (x INT)",
            "CREATE TEMPORARY TABLE mine (x INT)",
            "SELECT * FROM mysql.global_priv",
            "SELECT 1 INTO OUTFILE 'x'",
        ):
            with connection.cursor() as cursor, pytest.raises(Exception, match=r"denied|read-only"):
                cursor.execute(statement)


@installed
@pytest.mark.parametrize(
    ("limits", "statement", "words"),
    [
        ({"seconds": 0.2}, "SELECT SLEEP(30)", TIMED_OUT),
        ({"rows": 10}, "SELECT a.loaves FROM sale a, sale b, sale c", "10 rows"),
        ({"result_bytes": 500}, "SELECT REPEAT('x', 1000)", "500 bytes"),
    ],
)
def test_limits_end_a_statement(
    server: Server, bakery_library: Library, limits: dict[str, float], statement: str, words: str
) -> None:
    with limited(server, bakery_library, **limits) as runner:
        result = runner.run("bakery", statement)
        assert isinstance(result, Failure)
        assert words in result.message
        assert runner.run("bakery", "SELECT 1") == Rows(((1,),))


@installed
def test_memory_and_temporary_files_are_limited(maria: MariaDBRunner) -> None:
    limits = "@@max_session_mem_used, @@tmp_disk_table_size, @@max_heap_table_size, @@max_allowed_packet"
    megabyte = 1024 * 1024
    assert maria.run("bakery", f"SELECT {limits}") == Rows(
        ((64 * megabyte, 64 * megabyte, 16 * megabyte, megabyte),)
    )
    assert maria.run("bakery", "SELECT LENGTH(REPEAT('x', 2000000))") == Rows(((None,),))


@pytest.mark.parametrize(
    ("code", "message", "here"),
    [
        (1969, "Query execution was interrupted (max_statement_time exceeded)", TIMED_OUT),
        (1290, "The MariaDB server is running with the --max-session-mem-used option", OUT_OF_MEMORY),
        (1054, "Unknown column 'a.b' in 'WHERE'", "Unknown column 'a.b' in 'where clause'"),
        (1052, "Column 'x' in SELECT is ambiguous", "Column 'x' in field list is ambiguous"),
        (1054, "Unknown column 'in 'ON'' in 'field list'", "Unknown column 'in 'ON'' in 'field list'"),
        (1064, "corresponds to your MariaDB server version", "corresponds to your MySQL server version"),
    ],
)
def test_errors_are_worded_as_mysql_words_them(code: int, message: str, here: str) -> None:
    assert wording(code, message) == here


@installed
def test_a_cancelled_statement_ends_at_once(server: Server, bakery_library: Library) -> None:
    cancelled = threading.Event()
    with limited(server, bakery_library, seconds=300.0) as runner:
        timer = threading.Timer(0.1, cancelled.set)
        timer.start()
        runner.run("bakery", "SELECT SLEEP(250)", cancelled)  # would fail by the connection's own time-out
        timer.join()
        assert cancelled.is_set()
        assert runner.run("bakery", "SELECT 1") == Rows(((1,),))


@installed
def test_unknown_databases_and_lost_servers(server: Server, bakery_library: Library) -> None:
    with limited(server, bakery_library) as runner, pytest.raises(DataError, match="no database 'cakes'"):
        runner.run("cakes", "SELECT 1")
    nobody = Address("127.0.0.1", 1, "agent")
    with MariaDBRunner(bakery_library, DEFAULT_LIMITS, nobody) as runner, pytest.raises(EnvironmentFault):
        runner.run("bakery", "SELECT 1")
    stranger = msgspec.structs.replace(server.address, password="wrong")
    with MariaDBRunner(bakery_library, DEFAULT_LIMITS, stranger) as runner, pytest.raises(ConfigError):
        runner.run("bakery", "SELECT 1")


@installed
async def test_an_episode_on_mariadb(server: Server, bakery_library: Library, task: Task) -> None:
    at = server.address
    url = f"mysql://{at.user}:{at.password}@{at.host}:{at.port}"
    async with InterCodeSQL(library=bakery_library, backend="mariadb", url=url) as env:
        episode = await env.start(task)
        assert (await episode.step("DESC baker")).text.startswith("[('id', 'int(11)', 'NO', 'PRI'")
        await episode.step(task.data["gold"])
        twin = await episode.fork()
        assert (await twin.step("submit")).outcome == 1.0
        assert (await episode.step("DROP TABLE baker")).text.endswith("cannot execute this statement")
        assert (await episode.step("submit")).outcome == 0.0


@installed
def test_the_server_is_started_once_stopped_and_started_again(
    server: Server, folder: Path, bakery_library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb_server, "default_folder", lambda: folder)
    done = rro("env", "up", "mariadb")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"MariaDB runs at {server.url} (process {server.pid})"
    assert server.address.password not in done.stdout
    assert (folder.stat().st_mode & 0o777) == 0o700
    os.kill(server.pid, signal.SIGKILL)
    os.waitpid(server.pid, 0)
    assert running(folder) is None  # what the file says is not believed
    again = up()
    assert again.pid != server.pid
    with open_runner("mariadb", bakery_library) as runner:
        assert runner.run("bakery", "SELECT COUNT(*) FROM baker") == Rows(((3,),))
    assert rro("env", "down", "mariadb").stdout == "MariaDB has ended\n"
    assert running(folder) is None
    assert rro("env", "down", "mariadb").stdout == "no MariaDB ran here\n"


@installed
def test_a_server_that_does_not_start_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "loaded").touch()
    (tmp_path / "password").write_text("x\n")
    with pytest.raises(EnvironmentFault, match=r"did not start; see .*log"):
        up(tmp_path)
    assert running(tmp_path) is None
    assert (tmp_path / "log").stat().st_size > 0
