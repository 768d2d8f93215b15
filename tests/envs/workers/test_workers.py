"""Blocking worlds in worker processes: nothing is held up, nothing is mixed up, nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rro_sdk.envs.conformance import CheckSettings, check
from rro_sdk.envs.workers import WorkerEnvironment
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.types import Task

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASKS = [Task(f"t{number}", "?") for number in range(2)]
REPOSITORY = Path(__file__).resolve().parents[3]


def worker_env(**settings: Any) -> WorkerEnvironment:
    given = {
        "name": "walk",
        "max_steps": 6,
        "instructions": "Walk.",
        "commands": ("a", "b", "stop"),
        "workers": 1,
        "call_timeout_s": 20.0,
        **settings,
    }
    return WorkerEnvironment("tests.envs.workers.worlds:World", **given)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def env() -> AsyncIterator[WorkerEnvironment]:
    """One worker for all tests that leave it usable: starting one is most of what a test costs."""
    async with worker_env() as env:
        yield env


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_world_in_workers_keeps_the_contract() -> None:
    # Three games a worker are fewer than the kit plays at once: most are dropped and replayed.
    report = await check(
        worker_env(workers=2, games_per_worker=3), TASKS, settings=CheckSettings(max_block_s=10.0)
    )
    assert report.ok, report.lines()
    assert all(each.ok for each in report.verdicts), report.lines()


async def test_a_blocking_step_holds_up_neither_the_loop_nor_another_worker() -> None:
    async with worker_env(workers=2) as env:
        slow, quick = await env.start(TASKS[0]), await env.start(TASKS[1])
        waiting = asyncio.ensure_future(slow.step("hang"))
        for _ in range(20):
            await quick.step("a")
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait({waiting})


async def test_a_world_that_hangs_is_ended_and_its_neighbours_are_replayed() -> None:
    async with worker_env(call_timeout_s=1.5) as env:
        one, other = await env.start(TASKS[0]), await env.start(TASKS[1])
        await other.step("a")
        with pytest.raises(EnvironmentFault, match=r"did not answer within 1\.5 s"):
            await one.step("hang")
        assert (await other.step("b")).text == "['a', 'b']"
        assert (await one.step("c")).text == "['c']"


async def test_a_world_that_dies_names_its_exit_and_its_neighbours_are_replayed(
    env: WorkerEnvironment,
) -> None:
    one, other = await env.start(TASKS[0]), await env.start(TASKS[1])
    await one.step("a")
    await other.step("x")
    twin = await one.fork()
    with pytest.raises(EnvironmentFault, match="ended by itself"):
        await one.step("die")
    assert (await twin.step("b")).text == "['a', 'b']"
    assert (await other.step("y")).text == "['x', 'y']"


async def test_an_exception_of_the_world_is_named_without_its_text(env: WorkerEnvironment) -> None:
    episode = await env.start(TASKS[0])
    with pytest.raises(EnvironmentFault, match="the world raised KeyError") as caught:
        await episode.step("raise secret")
    assert "secret" not in str(caught.value)


async def test_a_cancelled_step_leaves_its_episode_where_it_was(env: WorkerEnvironment) -> None:
    episode, other = await env.start(TASKS[0]), await env.start(TASKS[1])
    await episode.step("a")
    running = asyncio.ensure_future(episode.step("wait 0.2"))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    # The reply to the cancelled call is nobody's; these are to the ones after it.
    assert (await other.step("x")).text == "['x']"
    assert (await episode.step("b")).text == "['a', 'b']"


async def test_a_world_that_is_not_deterministic_cannot_be_forked_unnoticed() -> None:
    async with worker_env(settings={"drift": True}) as env:
        episode = await env.start(TASKS[0])
        await episode.step("a")
        twin = await episode.fork()
        with pytest.raises(EnvironmentFault, match="task 't0', turn 1: a replay gives another") as caught:
            await twin.step("b")
        assert "['a']" not in str(caught.value)


async def test_bad_tasks_and_worlds_are_named(env: WorkerEnvironment) -> None:
    with pytest.raises(DataError, match="task 'w' is wrong"):
        await env.start(Task("w", "?", {"wrong": True}))
    async with worker_env(settings={"broken": True}) as broken:
        with pytest.raises(EnvironmentFault, match=r"worlds:World cannot be built.*ZeroDivisionError"):
            await broken.start(TASKS[0])
    with pytest.raises(ConfigError, match="workers"):
        worker_env(workers=0)
    with pytest.raises(ConfigError, match=r"package\.module:attribute"):
        WorkerEnvironment("nowhere", name="x", max_steps=1, instructions="x")


async def test_unprintable_text_survives_both_ways(env: WorkerEnvironment) -> None:
    episode = await env.start(TASKS[0])
    assert (await episode.step("surrogate")).text == "?"
    assert "\\udc80" in (await episode.step("\udc80")).text


async def test_closing_ends_the_process_with_all_that_it_started() -> None:
    env = worker_env()
    episode = await env.start(TASKS[0])
    pids = [int((await episode.step(each)).text) for each in ("pid", "child")]
    assert all(map(alive, pids))
    running = asyncio.ensure_future(episode.step("hang"))
    await asyncio.sleep(0.05)
    await env.close()
    await env.close()
    with pytest.raises(EnvironmentFault, match="closed"):
        await running
    await until(lambda: not any(map(alive, pids)))
    with pytest.raises(EnvironmentFault, match="closed"):
        await env.start(TASKS[0])


SCRIPT = """
import asyncio
from tests.envs.workers.test_workers import TASKS, worker_env

async def main():
    episode = await worker_env().start(TASKS[0])
    print((await episode.step("pid")).text, (await episode.step("child")).text, flush=True)
    await episode.step("hang")

asyncio.run(main())
"""


async def test_no_orphan_is_left_by_an_application_that_is_killed() -> None:
    application = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert application.stdout is not None
    pids = [int(each) for each in (await application.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    application.kill()
    await application.wait()
    await until(lambda: not any(map(alive, pids)))
