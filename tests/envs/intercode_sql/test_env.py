"""The environment's rules: what ends an episode, what it scores, what a fork shares."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from rro_sdk.envs.intercode_sql import InterCodeSQL, Settings
from rro_sdk.envs.intercode_sql.env import Answer, _AnswerCache, _interrupted
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.types import Observation, Task

GOLD_ROWS = "[('Ada',), ('Nils',)]"
ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT MAX(x) FROM r"


async def test_submit_scores_the_last_result(env: InterCodeSQL, task: Task) -> None:
    episode = await env.start(task)
    assert await episode.step("SHOW TABLES") == Observation("[('baker',), ('bread',), ('sale',)]")
    assert await episode.step("SELECT name FROM baker WHERE town = 'lund' ORDER BY age DESC") == Observation(
        GOLD_ROWS
    )
    assert await episode.step("submit") == Observation("Submitted.", done=True, outcome=1.0, raw=1.0)


async def test_a_reversed_answer_keeps_its_raw_reward_and_scores_nothing(
    env: InterCodeSQL, task: Task
) -> None:
    episode = await env.start(task)
    await episode.step("SELECT name FROM baker WHERE town = 'lund' ORDER BY age")
    assert await episode.step("submit") == Observation("Submitted.", done=True, outcome=0.0, raw=-1.0)


@pytest.mark.parametrize("command", ["SELECT nam FROM baker", "USE bakery", "SELECT", "-- what?", ""])
async def test_a_last_command_without_rows_scores_nothing(
    env: InterCodeSQL, task: Task, command: str
) -> None:
    episode = await env.start(task)
    await episode.step(task.data["gold"])
    await episode.step(command)
    assert (await episode.step("submit")).outcome == 0.0


@pytest.mark.parametrize(("preset", "outcome"), [("react", 1.0), ("plain", 0.0)])
async def test_a_command_that_is_no_sql_gets_the_protocols_help(
    bakery_library: Library, task: Task, preset: str, outcome: float
) -> None:
    async with InterCodeSQL(library=bakery_library, preset=preset) as env:
        episode = await env.start(task)
        await episode.step(task.data["gold"])
        seen = await episode.step("Can you tell me which tables there are?")
        assert seen.text.startswith(
            {"react": "No SQL code was found", "plain": "Error executing query: You have an error"}[preset]
        )
        # The help leaves the last result as it is, an error takes its place.
        assert (await episode.step("submit")).outcome == outcome


async def test_submit_before_any_result_scores_nothing(env: InterCodeSQL, task: Task) -> None:
    assert (await (await env.start(task)).step("submit")).raw == 0.0


async def test_skip_gives_up(env: InterCodeSQL, task: Task) -> None:
    episode = await env.start(task)
    await episode.step(task.data["gold"])
    assert await episode.step("skip") == Observation("Skipped.", done=True, outcome=0.0, raw=0.0)


async def test_an_error_is_an_observation(env: InterCodeSQL, task: Task) -> None:
    episode = await env.start(task)
    observation = await episode.step("SELECT x FROM baker")
    assert observation == Observation("Error executing query: Unknown column 'x' in 'field list'")


async def test_an_ended_episode_takes_no_more_steps(env: InterCodeSQL, task: Task) -> None:
    episode = await env.start(task)
    await episode.step("submit")
    with pytest.raises(EnvironmentFault, match="bakery-1"):
        await episode.step("submit")
    with pytest.raises(EnvironmentFault):
        await (await episode.fork()).step("submit")


@pytest.mark.parametrize(("preset", "limit"), [("react", 0.0), ("plain", 1.0)])
async def test_reaching_the_limit_scores_by_the_preset(
    bakery_library: Library, task: Task, preset: str, limit: float
) -> None:
    async with InterCodeSQL(library=bakery_library, preset=preset) as env:
        assert env.max_steps == 10
        episode = await env.start(task)
        assert episode.limit_outcome() == 0.0
        await episode.step(task.data["gold"])
        assert episode.limit_outcome() == limit
        await episode.step("SELECT name FROM baker WHERE town = 'lund' ORDER BY age")
        assert episode.limit_outcome() == 0.0


@pytest.mark.parametrize(("preset", "length"), [("react", 353), ("plain", 900 + len("[('',)]"))])
async def test_observations_are_cut_by_the_preset(
    bakery_library: Library, task: Task, preset: str, length: int
) -> None:
    async with InterCodeSQL(library=bakery_library, preset=preset) as env:
        text = (await (await env.start(task)).step("SELECT RPAD('a', 900, 'b')")).text
        assert len(text) == length
        assert text.endswith("...") == (preset == "react")


async def test_forks_do_not_see_each_other(bakery_library: Library, task: Task) -> None:
    async with InterCodeSQL(library=bakery_library, preset="plain") as env:
        root = await env.start(task)
        await root.step("SELECT name FROM baker")
        forks = [await root.fork() for _ in range(3)]
        before = root.limit_outcome()
        await forks[0].step(task.data["gold"])
        await forks[1].step("nonsense")
        assert [each.limit_outcome() for each in (root, *forks)] == [before, 1.0, 0.0, before]
        assert (await forks[0].step("submit")).outcome == 1.0
        assert (await forks[2].step("submit")).outcome == before
        assert (await root.step("SHOW TABLES")).done is False


async def test_the_opening_is_the_question_or_the_schema_and_the_question(
    bakery_library: Library, task: Task, env: InterCodeSQL
) -> None:
    assert (await env.start(task)).opening == task.instruction
    assert "SHOW TABLES" in env.instructions
    async with InterCodeSQL(library=bakery_library, show_schema=True) as shown:
        assert (await shown.start(task)).opening == (
            "Tables:\nbaker(id, name, town, age)\nbread(id, title, price)\n"
            "sale(baker_id, bread_id, loaves)\n\n"
            "Question: What are the names of the bakers in Lund, oldest first?"
        )
        assert "SHOW TABLES" not in shown.instructions


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "needs `db` and `gold`"),
        ({"db": "bakery", "gold": 3}, "needs `db` and `gold`"),
        ({"db": "cakes", "gold": "SELECT 1"}, "no database 'cakes'"),
        ({"db": "bakery", "gold": "SELECT nam FROM baker"}, "gold statement fails: Unknown column"),
    ],
)
async def test_a_task_that_cannot_be_played_is_named(
    env: InterCodeSQL, data: dict[str, object], words: str
) -> None:
    with pytest.raises(DataError, match=f"'t9'.*{words}"):
        await env.start(Task("t9", "?", data))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preset": "chat"}, "preset"),
        ({"demonstrations": 5}, "demonstrations must be 0 to 4"),
        ({"demonstrations": "2"}, "demonstrations"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_rows": 0}, "max_rows"),
        ({"max_result_bytes": -1}, "max_result_bytes"),
        ({"threads": 0}, "threads"),
        ({"statement_timeout_s": 0.0}, "statement_timeout_s"),
        ({"colour": "red"}, "no setting colour"),
        ({"settings": Settings(), "max_steps": 3}, "not both"),
    ],
)
def test_wrong_settings(bakery_library: Library, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        InterCodeSQL(library=bakery_library, **fields)  # type: ignore[arg-type]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().max_steps = 3  # type: ignore[misc]
    with pytest.raises(ConfigError):
        Settings(preset="chat")  # type: ignore[arg-type]


async def test_many_episodes_at_once_give_what_each_gives_alone(bakery_library: Library, task: Task) -> None:
    commands = ["SHOW TABLES", "DESC baker", "SELECT * FROM sale", "SELECT x", task.data["gold"], "submit"]

    async def play(env: InterCodeSQL) -> list[Observation]:
        episode = await env.start(task)
        return [await episode.step(command) for command in commands]

    async with InterCodeSQL(library=bakery_library) as env:
        alone = await play(env)
    async with InterCodeSQL(library=bakery_library) as env:
        assert await asyncio.gather(*(play(env) for _ in range(50))) == [alone] * 50


async def test_a_slow_statement_does_not_hold_up_the_event_loop(bakery_library: Library, task: Task) -> None:
    async with InterCodeSQL(library=bakery_library) as env:
        slow = asyncio.create_task((await env.start(task)).step(ENDLESS))
        other = await env.start(task)
        turns = 0
        while not slow.done():
            assert (await other.step(f"SELECT {turns}")).text == f"[({turns},)]"
            turns += 1
        assert turns > 3
        assert (await slow).text.endswith("maximum statement execution time exceeded")


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        # More rows, then more work, than is tried on the event loop.
        ("SELECT 1 FROM sale a, sale b, sale c, sale d", str([(1,)] * 625)),
        ("SELECT COUNT(*) FROM sale a, sale b, sale c, sale d, sale e, sale f, sale g", "[(78125,)]"),
    ],
)
async def test_what_is_too_much_for_the_event_loop_is_run_in_full(
    bakery_library: Library, task: Task, statement: str, text: str
) -> None:
    async with InterCodeSQL(library=bakery_library, preset="plain") as env:
        assert env._quick is not None
        assert _interrupted(env._quick.run("bakery", statement))
        assert await (await env.start(task)).step(statement) == Observation(text)


@pytest.mark.parametrize(
    ("limits", "statement", "refused"),
    [
        ({"max_rows": 3}, "SELECT 1 FROM sale", "3 rows"),
        ({"max_rows": 5}, "SELECT 1 FROM sale", None),
        ({"max_result_bytes": 80}, f"SELECT '{'long' * 30}'", "80 bytes"),
    ],
)
async def test_a_result_is_too_large_however_soon_it_is_there(
    bakery_library: Library, task: Task, limits: dict[str, int], statement: str, refused: str | None
) -> None:
    async with InterCodeSQL(library=bakery_library, preset="plain", **limits) as env:  # type: ignore[arg-type]
        text = (await (await env.start(task)).step(statement)).text
    if refused is None:
        assert text == str([(1,)] * 5)
    else:
        assert text.endswith(f"the result is larger than {refused}")


async def test_a_cancelled_step_ends_its_statement(
    bakery_library: Library, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.envs.intercode_sql.sandbox._CHECK_EVERY", 1)  # so that 10**7 steps take long
    async with InterCodeSQL(library=bakery_library, threads=1, statement_timeout_s=60.0) as env:
        episode = await env.start(task)
        slow = asyncio.create_task(episode.step(ENDLESS))
        while not env._running:
            await asyncio.sleep(0)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        # The one thread is free again: the episode goes on, and its state is that before the step.
        async with asyncio.timeout(30):
            assert (await episode.step("SELECT 7")).text == "[(7,)]"


async def test_closing_ends_running_statements_and_is_safe_twice(
    bakery_library: Library, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.envs.intercode_sql.sandbox._CHECK_EVERY", 1)
    env = InterCodeSQL(library=bakery_library, statement_timeout_s=60.0)
    episode = await env.start(task)
    slow = asyncio.create_task(episode.step(ENDLESS))
    while not env._running:
        await asyncio.sleep(0)
    before = time.monotonic()
    await env.close()
    await env.close()
    assert time.monotonic() - before < 30
    with pytest.raises((EnvironmentFault, asyncio.CancelledError)):
        await slow
    with pytest.raises(EnvironmentFault, match="closed"):
        await episode.step("SELECT 8")


def test_the_answer_cache_stays_within_its_size() -> None:
    cache = _AnswerCache(1_000)
    for number in range(100):
        cache.put(("db", str(number)), Answer("x" * 50))
        cache.get(("db", "0"))
    assert cache.get(("db", "0")) is not None  # used all along
    assert cache.get(("db", "1")) is None
    assert len(cache._held) == 3


async def test_the_default_library_is_built_into_the_cache(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRO_DATA", str(data_folder))
    async with InterCodeSQL(cache=tmp_path) as env:
        assert env.library.catalog.counts == (20, 81, 6952)
        task = Task("t", "How many cities?", {"db": "world_1", "gold": "SELECT COUNT(*) FROM city"})
        assert (await (await env.start(task)).step("SELECT COUNT(*) FROM city")).text == "[(4079,)]"
