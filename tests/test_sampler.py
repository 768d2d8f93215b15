from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from rro_sdk.errors import (
    ConfigError,
    DataError,
    EnvironmentFault,
    RROError,
    RunExistsError,
    ServerUnreachable,
)
from rro_sdk.journal import Journal
from rro_sdk.methods import RisingReward
from rro_sdk.pairs import pairs_of
from rro_sdk.policy import Proposal
from rro_sdk.report.text import format_summary, summary_of
from rro_sdk.sampler import FailurePolicy, Sampler
from rro_sdk.types import Message, PreferencePair, Task, TaskEnd, TaskFailed
from tests.toys import Script, ScriptedPolicy, ToyEnv, ToyEpisode

ONE = RisingReward(rollouts=1)


def tasks(count: int) -> list[Task]:
    return [Task(f"t{number}", "solve it") for number in range(count)]


def rising_script(count: int) -> Script:
    """Each task: baseline 0.5, a candidate at 0.2, one at 0.8 that rises; one pair a task."""
    script: Script = Script("")
    for task in tasks(count):
        script.update(Script(task.id).baseline(0.5).candidate(1, 0, "end 0.2").candidate(1, 1, "end 0.8"))
    return script


async def test_pairs_are_journaled_and_exported(tmp_path: Path) -> None:
    run = tmp_path / "run"
    policy = ScriptedPolicy(rising_script(3))
    async with Sampler(ToyEnv(), policy=policy, method=ONE, run_dir=run, tasks_in_flight=2) as sampler:
        pairs = [pair async for pair in sampler.pairs(tasks(3))]
    rows = [json.loads(line) for line in (run / "pairs.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["t0/1", "t1/1", "t2/1"]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "Action: end 0.8"}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": "Action: end 0.2"}]
    assert rows[0]["prompt"][-1] == {"role": "user", "content": "begin"}
    with Journal.open(run) as journal:
        assert sorted(pair.id for pair in pairs_of(journal.events())) == sorted(pair.id for pair in pairs)
        assert journal.header().method["rollouts"] == 1


async def test_the_summary_counts_what_happened_and_is_the_same_from_the_journal(tmp_path: Path) -> None:
    run = tmp_path / "run"
    policy = ScriptedPolicy(rising_script(4))
    async with Sampler(ToyEnv(), policy=policy, method=ONE, run_dir=run) as sampler:
        async for _ in sampler.events(tasks(4)):
            pass
    summary = sampler.summary()
    assert (summary.tasks, summary.steps, summary.candidates, summary.pairs) == (4, 4, 8, 4)
    assert summary.candidates_per_step == 2.0
    assert summary.steps_by_outcome == {"risen": 4}
    assert (summary.rollouts, summary.turns) == (4, 12), "terminal candidates cost no rollouts"
    assert summary.tokens.completion_tokens == 12 * 3
    assert summary.mean_outcome == pytest.approx(0.2), "the trajectory went on with its own action"
    assert summary.rising_by_third == (0.0, None, None)
    assert summary.pairs_per_1000_rollouts == 1000.0
    with Journal.open(run) as journal:
        again = summary_of(journal)
    assert again.ledger is not None
    assert again.ledger.total == summary.tokens, "all that was spent decided something"
    assert {**_fields(again), "wall_s": 0, "ledger": None} == {**_fields(summary), "wall_s": 0}
    assert "candidates per step" in format_summary(summary)


def _fields(summary: object) -> dict[str, object]:
    return {name: getattr(summary, name) for name in type(summary).__struct_fields__}  # type: ignore[attr-defined]


async def test_a_run_folder_that_is_not_empty_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    policy = ScriptedPolicy()
    with pytest.raises(RunExistsError):
        async with Sampler(ToyEnv(), policy=policy, run_dir=tmp_path):
            pass
    assert policy.seeds == []


async def test_no_tasks_is_an_error_and_leaves_no_run(tmp_path: Path) -> None:
    async with Sampler(ToyEnv(), policy=ScriptedPolicy(), run_dir=tmp_path / "run") as sampler:
        with pytest.raises(ConfigError, match="no tasks"):
            async for _ in sampler.pairs([]):
                pass
    assert not (tmp_path / "run").exists()


async def test_a_task_given_twice_is_an_error() -> None:
    async with Sampler(ToyEnv(), policy=ScriptedPolicy(), method=ONE) as sampler:
        with pytest.raises(DataError, match="t0 is given twice"):
            async for _ in sampler.pairs([*tasks(2), tasks(1)[0]]):
                pass


async def test_after_an_error_in_the_tasks_the_sampler_goes_on() -> None:
    """Those that were cancelled before they began run no line, and still do not run any more."""
    policy = ScriptedPolicy(default=lambda seed: "Action: end 1")
    async with Sampler(ToyEnv(), policy=policy, method=ONE, tasks_in_flight=3) as sampler:
        with pytest.raises(DataError, match="t0 is given twice"):
            async for _ in sampler.events([*tasks(3), tasks(1)[0]]):
                pass
        again = [event async for event in sampler.events(tasks(6)[3:])]
    assert len([event for event in again if isinstance(event, TaskEnd)]) == 3


async def test_a_task_whose_episode_does_not_close_is_finished_and_not_failed_too() -> None:
    class Stuck(ToyEpisode):
        async def close(self) -> None:
            await super().close()
            raise EnvironmentFault("the world is gone")

    class Env(ToyEnv):
        async def start(self, task: Task) -> Stuck:
            return Stuck(self)

    policy = ScriptedPolicy(default=lambda seed: "Action: end 1")
    async with Sampler(Env(), policy=policy, method=ONE) as sampler:
        events = [event async for event in sampler.events(tasks(1))]
    assert isinstance(events[-1], TaskEnd)
    assert (sampler.summary().tasks, sampler.summary().tasks_failed) == (1, 0)


@pytest.mark.parametrize("arguments", [{}, {"servers": ["http://h:1"], "policy": ScriptedPolicy()}])
def test_either_servers_or_a_policy(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="either servers or a policy"):
        Sampler(ToyEnv(), **arguments)  # type: ignore[arg-type]


async def test_an_unreachable_server_is_named_and_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match=r"http://127\.0\.0\.1:1 ") as caught:
        async with Sampler(ToyEnv(), servers=["http://127.0.0.1:1"], run_dir=tmp_path / "run"):
            pass
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


async def test_a_task_that_the_world_breaks_is_set_aside_and_the_run_goes_on() -> None:
    script = rising_script(3)
    script.update(Script("t1").baseline(0.5).candidate(1, 0, "break it"))
    env = ToyEnv()
    async with Sampler(env, policy=ScriptedPolicy(script), method=ONE) as sampler:
        events = [event async for event in sampler.events(tasks(3))]
    failed = [event for event in events if isinstance(event, TaskFailed)]
    assert [(event.task_id, event.reason) for event in failed] == [
        ("t1", "EnvironmentFault: the toy world broke")
    ]
    assert (sampler.summary().tasks, sampler.summary().tasks_failed) == (2, 1)
    assert env.open_episodes == 0


async def test_a_run_in_which_every_task_failed_raises_the_last_reason() -> None:
    policy = ScriptedPolicy(default=lambda seed: "Action: break it")
    async with Sampler(ToyEnv(), policy=policy, method=ONE) as sampler:
        with pytest.raises(EnvironmentFault, match="broke"):
            async for _ in sampler.events(tasks(3)):
                pass


async def test_max_failed_tasks_ends_the_run() -> None:
    policy = ScriptedPolicy(default=lambda seed: "Action: break it")
    async with Sampler(
        ToyEnv(), policy=policy, method=ONE, failures=FailurePolicy(2), tasks_in_flight=1
    ) as sampler:
        with pytest.raises(RROError):
            async for _ in sampler.events(tasks(100)):
                pass
    assert sampler.stats.tasks_failed == 3


async def test_a_bug_in_a_policy_is_raised_not_recorded() -> None:
    class Buggy(ScriptedPolicy):
        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            raise KeyError("bug")

    env = ToyEnv()
    async with Sampler(env, policy=Buggy(), method=ONE) as sampler:
        with pytest.raises(KeyError, match="bug"):
            async for _ in sampler.events(tasks(30)):
                pass
    assert env.open_episodes == 0


class Gate(ScriptedPolicy):
    """Counts who waits; nobody gets through until `open_gate`."""

    def __init__(self) -> None:
        super().__init__(default=lambda seed: "Action: end 1")
        self.waiting = 0
        self.peak = 0
        self.gate = asyncio.Event()
        self.arrived = asyncio.Event()

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        self.waiting += 1
        self.peak = max(self.peak, self.waiting)
        self.arrived.set()
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return await super().act(messages, seed=seed, affinity=affinity)


async def test_tasks_in_flight_are_bounded_and_tasks_are_read_as_needed() -> None:
    policy, taken = Gate(), 0

    def lazily():  # type: ignore[no-untyped-def]
        nonlocal taken
        for task in tasks(50):
            taken += 1
            yield task

    async with Sampler(ToyEnv(), policy=policy, method=ONE, tasks_in_flight=4) as sampler:
        async with aclosing(sampler.pairs(lazily())) as pairs:
            run = asyncio.ensure_future(anext(pairs, None))
            await policy.arrived.wait()
            await asyncio.sleep(0)
            assert taken <= 5
            policy.gate.set()
            await run
        assert policy.peak == 2 * 4, "a baseline of one rollout and one candidate for each of four tasks"


async def test_breaking_off_stops_every_worker_and_closes_every_episode(tmp_path: Path) -> None:
    env, run = ToyEnv(), tmp_path / "run"
    policy = ScriptedPolicy(rising_script(200))
    async with Sampler(env, policy=policy, method=ONE, run_dir=run, tasks_in_flight=8) as sampler:
        async with aclosing(sampler.pairs(tasks(200))) as pairs:
            async for _ in pairs:
                break
    assert env.open_episodes == 0
    assert len(policy.seeds) < 200
    kept = (run / "pairs.jsonl").read_text().splitlines()
    assert 1 <= len(kept) < 200


async def test_cancelling_the_caller_stops_every_worker() -> None:
    env, policy = ToyEnv(), Gate()

    async def consume() -> list[PreferencePair]:
        async with Sampler(env, policy=policy, method=ONE) as sampler:
            return [pair async for pair in sampler.pairs(tasks(50))]

    running = asyncio.create_task(consume())
    await policy.arrived.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert policy.waiting == 0
    assert env.open_episodes == 0


async def test_used_outside_its_block_it_says_so() -> None:
    sampler = Sampler(ToyEnv(), servers=["http://127.0.0.1:1"])
    with pytest.raises(RuntimeError, match="async with"):
        async for _ in sampler.pairs(tasks(1)):
            pass
