"""Prefixes reached again: by replay and by snapshot, and never by a world that goes its own way."""

from __future__ import annotations

import pytest

from rro_sdk.envs.conformance import CheckSettings, check
from rro_sdk.envs.replay import Session, SessionEnvironment, Turn, digest, replay
from rro_sdk.errors import EnvironmentFault
from rro_sdk.types import Observation, Task

TASK = Task("t1", "Count.")


class Count(Session):
    def __init__(self, env: Counting, total: int = 0) -> None:
        self.env = env
        self.total = total
        env.open_sessions += 1

    @property
    def opening(self) -> str:
        return "Count."

    async def step(self, command: str) -> Observation:
        self.env.steps += 1
        if command == "break":
            raise EnvironmentFault("it broke")
        if command == "stop":
            return Observation("stopped", done=True, outcome=1.0)
        self.total += len(command) + self.env.drift
        return Observation(str(self.total))

    def limit_outcome(self) -> float:
        return min(1.0, self.total / 100)

    async def close(self) -> None:
        self.env.open_sessions -= 1


class Saved(Count):
    async def snapshot(self) -> object:
        return self.total


class Counting(SessionEnvironment):
    name = "count"
    max_steps = 5
    instructions = "Say anything."

    def __init__(self, *, snapshots: bool = False) -> None:
        self.session = Saved if snapshots else Count
        self.steps = self.open_sessions = self.drift = 0

    async def open(self, task: Task) -> Session:
        return self.session(self)

    async def restore(self, task: Task, snapshot: object) -> Session:
        assert isinstance(snapshot, int)
        return self.session(self, snapshot)

    def sample_commands(self, task: Task) -> tuple[str, ...]:
        return ("a", "bb", "ccc", "stop")


@pytest.mark.parametrize("snapshots", [False, True])
async def test_sessions_keep_the_contract(snapshots: bool) -> None:
    env = Counting(snapshots=snapshots)
    report = await check(env, [TASK], settings=CheckSettings(max_block_s=10.0))
    assert all(each.ok for each in report.verdicts), report.lines()
    assert env.open_sessions == 0


@pytest.mark.parametrize(("snapshots", "steps"), [(False, 3 + 4), (True, 3 + 1)])
async def test_a_fork_costs_its_prefix_or_nothing(snapshots: bool, steps: int) -> None:
    env = Counting(snapshots=snapshots)
    episode = await env.start(TASK)
    for command in ("a", "bb", "ccc"):
        await episode.step(command)
    twin = await episode.fork()
    assert env.steps == 3
    assert twin.limit_outcome() == episode.limit_outcome() == 0.06
    assert (await twin.step("d")).text == "7"
    assert env.steps == steps
    assert (await (await twin.fork()).step("e")).text == "8"


async def test_a_divergence_names_task_and_turn() -> None:
    env = Counting()
    episode = await env.start(TASK)
    await episode.step("a")
    await episode.step("b")
    twin = await episode.fork()
    env.drift = 1
    with pytest.raises(EnvironmentFault, match="task 't1', turn 1: a replay gives another observation"):
        await twin.step("c")
    assert env.open_sessions == 1  # the replayed one was closed


async def test_after_a_fault_the_prefix_is_reached_again() -> None:
    env = Counting()
    episode = await env.start(TASK)
    await episode.step("a")
    with pytest.raises(EnvironmentFault, match="it broke"):
        await episode.step("break")
    assert env.open_sessions == 0
    assert (await episode.step("b")).text == "2"


async def test_recorded_turns_are_replayed_on_any_environment() -> None:
    env = Counting()
    episode = await env.start(TASK)
    turns = [Turn(command, digest(await episode.step(command))) for command in ("a", "bb")]
    assert tuple(turns) == episode.turns
    again = await replay(env, TASK, turns)
    assert (await again.step("c")).text == "4"
    with pytest.raises(EnvironmentFault, match="task 't1', turn 2"):
        await replay(env, TASK, [turns[0], Turn("bbb", turns[1].digest)])


def test_every_part_of_an_observation_counts() -> None:
    seen = [
        Observation("a"),
        Observation("b"),
        Observation("a", raw=0.0),
        Observation("a", done=True, outcome=0.0),
        Observation("a", done=True, outcome=1.0),
        Observation("a", done=True, outcome=1.0, truncated=True),
    ]
    assert len({digest(each) for each in seen}) == len(seen)
    assert digest(Observation("a")) == digest(Observation("a"))
