"""Tasks over your own databases: made, read with their databases, and played to the end."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from rro_sdk.cli._options import environment, tasks
from rro_sdk.envs.intercode_sql import InterCodeSQL, Library, load_tasks
from rro_sdk.envs.intercode_sql.metadata import Rows
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.synthesis.sql import SynthesisSettings, sqlite_library, synthesize
from servers.fake import FakeServer, FakeSettings
from tests.cli.test_cli import rro_async


def shelf_tasks(folder: Path) -> Path:
    path = folder / "tasks.jsonl"
    rows = [
        {"id": f"mine-{age}", "db": "shelf", "query": f"Who is {age}?",
         "gold": f"SELECT Full_Name FROM reader WHERE age = {age}"}
        for age in (20, 23, 26)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tasks_are_read_with_the_databases_of_the_environment(databases: Path, tmp_path: Path) -> None:
    file, options = str(shelf_tasks(tmp_path)), (f"databases={databases}",)
    assert [task.id for task in tasks("intercode-sql", file, None, options)] == [
        "mine-20",
        "mine-23",
        "mine-26",
    ]
    with pytest.raises(DataError, match="'shelf', which is no database here"):
        load_tasks(file)
    with pytest.raises(ConfigError, match=r"name a file with --tasks; `rro data synth sql --sqlite"):
        tasks("intercode-sql", None, None, options)


async def test_an_episode_of_your_own(databases: Path, tmp_path: Path) -> None:
    (task, *_) = load_tasks(shelf_tasks(tmp_path), databases=str(databases))
    async with environment("intercode-sql", (f"databases={databases}",)) as env:
        episode = await env.start(task)
        assert (await episode.step("SHOW TABLES")).text == "[('book',), ('loan',), ('reader',), ('unread',)]"
        assert (await episode.step(task.data["gold"])).text == "[('Ada Berg',)]"
        assert (await episode.step("submit")).outcome == 1.0


def test_settings_that_cannot_go_together(databases: Path) -> None:
    with pytest.raises(ConfigError, match="backend 'sqlite'"):
        InterCodeSQL(databases=str(databases), backend="mariadb")
    with pytest.raises(ConfigError, match="not both"):
        InterCodeSQL(databases=str(databases), library=InterCodeSQL(databases=str(databases)).library)
    with pytest.raises(ConfigError, match=r"no \*\.sqlite"):
        InterCodeSQL(databases=str(databases / "none"))


def test_a_database_with_changes_that_are_not_in_it_yet_is_refused(tmp_path: Path) -> None:
    """Statements are run on a file that nobody changes, and its log is not read."""
    with closing(sqlite3.connect(tmp_path / "shelf.sqlite", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE book (title TEXT)")
        with pytest.raises(DataError, match=r"shelf\.sqlite has changes .* shelf\.sqlite-wal; close what"):
            InterCodeSQL(databases=str(tmp_path))
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert InterCodeSQL(databases=str(tmp_path)).library.catalog.database("shelf") is not None


def test_where_the_databases_lie_is_no_part_of_what_a_run_remembers(databases: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").symlink_to(databases)
    here, there = InterCodeSQL(databases=str(databases)), InterCodeSQL(databases=str(tmp_path / "moved"))
    assert here.data_digest == there.data_digest


async def test_made_tasks_are_sampled(databases: Path, tmp_path: Path) -> None:
    """From databases to preference pairs by the command line alone."""
    made, run = tmp_path / "made", tmp_path / "run"
    arguments = ("data", "synth", "sql", "--sqlite", str(databases), "--n", "40", "--out", str(made))
    assert (await rro_async(*arguments)).returncode == 0

    def reply(messages: object, seed: int | None, index: int) -> str:
        return f"Thought: try\nAction: {'submit' if (seed or 0) % 2 else 'SELECT COUNT(*) FROM book'}"

    async with FakeServer(FakeSettings(reply=reply)) as server:
        done = await rro_async(
            *("sample", "--servers", server.url, "--run", str(run), "--tasks", str(made / "train.jsonl")),
            *("-e", f"databases={databases}", "--limit", "3", "-m", "2", "--json", "--quiet"),
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tasks"] == 3


def test_intercode_s_own_questions_file_is_found_in_the_data_folder(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"db": "shelf", "query": f"How much is {one}?", "gold": f"SELECT {one}"} for one in (1, 2)]
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "ic_spider_dev.json").write_text(json.dumps(rows, indent=2))
    monkeypatch.setenv("RRO_DATA", str(tmp_path))
    assert [task.id for task in load_tasks(library=library)] == ["spider-0000", "spider-0001"]
    first = json.dumps({"idx": 7, **rows[0]})
    (tmp_path / "sql" / "questions.jsonl").write_text(first)
    assert [task.id for task in load_tasks(library=library)] == ["spider-0007"]


async def test_what_an_agent_writes_goes_into_no_log(
    databases: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with InterCodeSQL(databases=str(databases)) as env:
        database = env.library.catalog.database("shelf")
        assert database is not None
        answer = await env.answer(database, "SELECT SECRETS FROM EXPLAIN SET QUERY LIMIT 2")
    assert answer.text.startswith("Error executing query")
    assert "SECRETS" not in caplog.text + "".join(capsys.readouterr())


def test_names_and_tables_as_people_have_them(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "odd.sqlite")) as connection, connection:
        connection.executescript(
            'CREATE TABLE "order" (code TEXT PRIMARY KEY, "from" TEXT, "case" INT, "tick`ed" TEXT)'
            " WITHOUT ROWID;"
            'CREATE TABLE "left" (rowid TEXT, "group" TEXT, "usage" INT);'
            "CREATE TABLE page (id INTEGER PRIMARY KEY, title TEXT, body TEXT);"
        )
        places = ("Lund", "Visby", "Lund", "Kiruna", "Visby", "Lund")
        connection.executemany(
            'INSERT INTO "order" VALUES (?, ?, ?, ?)',
            [(f"z{9 - n}", place, n, f"mark {n}") for n, place in enumerate(places)],
        )
        connection.executemany(
            'INSERT INTO "left" VALUES (?, ?, ?)', [(f"r{9 - n}", place, n) for n, place in enumerate(places)]
        )
        body = "word " * 1_000
        connection.executemany(
            "INSERT INTO page VALUES (?, ?, ?)", [(n, f"Page {n % 50}", f"{n} {body}") for n in range(1_000)]
        )
    library = sqlite_library(tmp_path)
    with Runner(library) as runner:
        for table, column in (("order", "from"), ("left", "group")):
            statement = f"SELECT `{column}`, COUNT(*) FROM `{table}` GROUP BY `{column}`"
            found = runner.run("odd", statement)
            assert isinstance(found, Rows), found
            assert sorted(found.rows or ()) == [("Kiruna", 1), ("Lund", 3), ("Visby", 2)]
    made = synthesize(library, SynthesisSettings(n=40, seed=3))
    with Runner(library) as runner:
        assert all(isinstance(runner.run(task.db, task.gold), Rows) for task in made.tasks)
    golds = " ".join(task.gold for task in made.tasks)
    assert "`from`" in golds and "`tick``ed`" in golds and "page" in golds
