"""benchmarks.envs: what it plays, and what it counts as a step."""

from __future__ import annotations

from benchmarks.envs import Script, distinct_only, forks, play, playable
from rro_sdk.envs.intercode_sql import InterCodeSQL
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.types import Task

GOLD = "SELECT name FROM baker"


def script(number: int, *commands: str, db: str = "bakery", gold: str = GOLD) -> Script:
    return Script(Task(f"t{number}", "?", {"db": db, "gold": gold}), commands)


def test_a_statement_is_distinct_once_on_each_database() -> None:
    found = distinct_only(
        [
            script(1, "SHOW TABLES", GOLD),
            script(2, GOLD, "SHOW TABLES"),
            script(3, "SHOW TABLES", "SELECT 1", "SELECT 1", db="kinds"),
        ]
    )
    assert [each.commands for each in found] == [("SHOW TABLES", GOLD), ("SHOW TABLES", "SELECT 1")]
    assert [each.task.id for each in found] == ["t1", "t3"]


async def test_every_command_is_a_step_and_the_submission_too(bakery_library: Library) -> None:
    async with InterCodeSQL(library=bakery_library) as env:
        pace = await play(env, [script(1, "SHOW TABLES", GOLD), script(2, "SELECT nam FROM baker")])
    assert pace.steps == 5
    assert pace.per_cpu_s > 0
    assert pace.per_s > 0


async def test_episodes_without_a_working_gold_are_left_out(bakery_library: Library) -> None:
    kept = await playable(bakery_library, [script(1, GOLD), script(2, GOLD, gold="SELECT nam FROM baker")])
    assert [each.task.id for each in kept] == ["t1"]


async def test_a_fork_takes_some_time(bakery_library: Library) -> None:
    assert await forks(bakery_library, script(1, GOLD)) > 0
