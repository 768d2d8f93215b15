"""A run that is broken off anywhere and resumed is the run that was never broken off."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from rro_sdk.errors import ConfigError, DataError, Divergence, JournalError, RunExistsError, ServerUnreachable
from rro_sdk.journal import Journal
from rro_sdk.journal.lock import RunLock
from rro_sdk.journal.writer import JournalWriter
from rro_sdk.methods import RisingReward
from rro_sdk.methods.base import Method
from rro_sdk.policy import Proposal
from rro_sdk.report.text import summary_of
from rro_sdk.sampler import FailurePolicy, Sampler
from rro_sdk.types import Discarded, Message, StepRecord, Task, TaskEnd, TaskFailed, Usage
from tests.toys import Script, ScriptedPolicy, ToyEnv

METHOD = RisingReward(rollouts=3, max_candidates=3)


def tasks(count: int) -> list[Task]:
    return [Task(f"t{number}", "solve it", {"number": number}) for number in range(count)]


def walk(seed: int) -> str:
    """Two turns in three go on; the others end with 0, 0.5 or 1."""
    return f"Action: go {seed % 5}" if seed % 3 else f"Action: end {seed // 3 % 3 / 2}"


class Killed(BaseException):
    """Stands for the process's end: nothing of ours catches it."""


class Mortal(ScriptedPolicy):
    """Ends the process, so to speak, at its n-th call."""

    def __init__(self, lives: int | None = None, versions: Sequence[str] = ("v0",)) -> None:
        super().__init__(default=walk, versions=lambda seed: tuple(versions))
        self.lives = lives

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        await asyncio.sleep(0)
        if self.lives is not None and len(self.seeds) >= self.lives:
            raise Killed
        return await super().act(messages, seed=seed, affinity=affinity)


async def explore(
    run: Path,
    policy: ScriptedPolicy,
    *,
    count: int = 6,
    method: Method = METHOD,
    resume: bool = False,
    in_flight: int = 3,
    env: ToyEnv | None = None,
    failures: FailurePolicy | None = None,
) -> Sampler:
    sampler = Sampler(
        env or ToyEnv(),
        policy=policy,
        method=method,
        run_dir=run,
        resume=resume,
        tasks_in_flight=in_flight,
        failures=failures,
    )
    async with sampler:
        async for _ in sampler.events(tasks(count)):
            pass
    return sampler


@pytest.mark.parametrize(
    "method", [METHOD, RisingReward(2, 3, on_first_rise="prefix_action"), RisingReward(2, prefix="chosen")]
)
async def test_broken_off_at_any_call_it_ends_the_same_and_pays_once(tmp_path: Path, method: Method) -> None:
    whole = Mortal()
    await explore(tmp_path / "whole", whole, method=method)
    expected = (tmp_path / "whole" / "pairs.jsonl").read_bytes()
    assert expected
    assert len(set(whole.seeds)) == len(whole.seeds)
    with Journal.open(tmp_path / "whole") as journal:
        numbers = summary_of(journal)
    for lives in range(1, len(whole.seeds), 7):
        run = tmp_path / f"run{lives}"
        paid: Counter[int] = Counter()
        policy = Mortal(lives)
        with pytest.raises(Killed):
            await explore(run, policy, method=method)
        paid.update(policy.seeds)
        again = Mortal()
        sampler = await explore(run, again, method=method, resume=True, in_flight=1 + lives % 5)
        paid.update(again.seeds)
        assert (run / "pairs.jsonl").read_bytes() == expected
        assert set(paid) == set(whole.seeds)
        assert not [seed for seed, times in paid.items() if times > 1], "every reply was recorded"
        assert sampler.kept is not None
        assert sampler.kept.replies == lives
        with Journal.open(run) as journal:
            again_numbers = summary_of(journal)
            assert again_numbers.tokens == numbers.tokens
            assert again_numbers.candidates == numbers.candidates
            assert len([e for e in journal.events() if isinstance(e, TaskEnd)]) == 6


async def test_a_finished_run_resumes_to_nothing(tmp_path: Path) -> None:
    await explore(tmp_path / "run", Mortal())
    before = (tmp_path / "run" / "pairs.jsonl").read_bytes()
    policy = Mortal()
    sampler = await explore(tmp_path / "run", policy, resume=True)
    assert policy.seeds == []
    assert (tmp_path / "run" / "pairs.jsonl").read_bytes() == before
    assert sampler.kept is not None
    assert (sampler.kept.finished, sampler.kept.open) == (6, 0)
    assert sampler.summary().tasks == 6
    assert "kept 6 finished tasks" in str(sampler.kept)


async def test_resume_begins_a_run_where_none_began(tmp_path: Path) -> None:
    sampler = await explore(tmp_path / "run", Mortal(), resume=True)
    assert sampler.kept is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(RunExistsError):
        await explore(tmp_path / "other", Mortal(), resume=True)


async def test_other_settings_tasks_or_environments_are_refused_and_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        await explore(run, Mortal(40))
    with pytest.raises(ConfigError, match=r"method\.rollouts was 3 and is 4"):
        await explore(run, Mortal(), method=RisingReward(rollouts=4, max_candidates=3), resume=True)
    with pytest.raises(ConfigError, match="seed was 0 and is 1"):
        async with Sampler(ToyEnv(), policy=Mortal(), method=METHOD, run_dir=run, resume=True, seed=1):
            pass
    async with Sampler(ToyEnv(), policy=Mortal(), method=METHOD, run_dir=run, resume=True) as sampler:
        with pytest.raises(DataError, match="task t0 is not the one"):
            async for _ in sampler.events([Task("t0", "another")]):
                pass
    policy = Mortal()
    await explore(run, policy, resume=True)
    assert policy.seeds, "and after all that it goes on"


async def test_other_data_behind_the_tasks_is_refused(tmp_path: Path) -> None:
    run, env = tmp_path / "run", ToyEnv()
    env.data_digest = "a"
    with pytest.raises(Killed):
        await explore(run, Mortal(40), env=env)
    other = ToyEnv()
    other.data_digest = "b"
    with pytest.raises(ConfigError, match=r"data\.digest was 'a' and is 'b'"):
        await explore(run, Mortal(), env=other, resume=True)


async def test_a_world_that_answers_otherwise_than_recorded_ends_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        await explore(run, Mortal(60))
    with Journal.open(run) as journal:
        assert [event for event in journal.events() if isinstance(event, StepRecord)]

    class Changed(ToyEnv):
        instructions = "Say go X or end V, quickly."

    with pytest.raises(Divergence, match="prompts have changed"):
        await explore(run, Mortal(), env=Changed(), resume=True)


async def test_a_task_that_a_server_failed_is_taken_up_again_and_a_broken_one_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script: Script = Script("")
    for task in tasks(3):
        script.update(Script(task.id).baseline(1.0).candidate(1, 0, "end 1"))
    script.update(Script("t1").candidate(1, 0, "break it"))

    class Flaky(ScriptedPolicy):
        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            if affinity == "t2":
                raise ServerUnreachable("nobody there")
            return await super().act(messages, seed=seed, affinity=affinity)

    one = RisingReward(rollouts=1)
    first = await explore(run, Flaky(script), count=3, method=one)
    assert first.stats.tasks_failed == 2
    second = await explore(run, ScriptedPolicy(script), count=3, method=one, resume=True)
    assert second.stats.tasks_failed == 1
    assert second.summary().tasks == 2
    with Journal.open(run) as journal:
        failed = {e.task_id: e.fault_of for e in journal.events() if isinstance(e, TaskFailed)}
        assert failed == {"t1": "environment", "t2": "server"}
        assert set(journal.states().set_aside) == {"t1"}


async def test_a_rollout_that_the_world_breaks_is_data(tmp_path: Path) -> None:
    script = Script("t0").baseline(0.5, 0.5)
    script.update({next(iter(Script("t0").baseline(0.5))): "Action: break it"})
    env = ToyEnv()
    env.fault_outcome = 0.25
    sampler = await explore(
        tmp_path / "run", ScriptedPolicy(script), count=1, env=env, method=RisingReward(rollouts=2)
    )
    assert sampler.stats.tasks_failed == 0
    with Journal.open(tmp_path / "run") as journal:
        ends = {key.rollout: end for key, end in journal.rollouts_of("t0") if key.step == 0}
    assert ends[0].outcome == 0.25
    assert ends[0].fault == "EnvironmentFault: the toy world broke"
    assert (ends[1].outcome, ends[1].fault) == (0.5, None)
    strict = FailurePolicy(score_faults=False, max_failed_tasks=0)
    with pytest.raises(Exception, match="the toy world broke"):
        await explore(
            tmp_path / "strict", ScriptedPolicy(script), count=1, method=RisingReward(2), failures=strict
        )


async def test_steps_that_saw_two_weight_versions_are_drawn_again_after_a_resume_too(tmp_path: Path) -> None:
    class Reloaded(Mortal):
        """Weights change at the 20th call."""

        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            found = await super().act(messages, seed=seed, affinity=affinity)
            versions = ("v0",) if len(self.seeds) + self.before < 20 else ("v1",)
            return Proposal(found.action, found.usage, versions, found.server)

        before = 0

    whole = Reloaded()
    await explore(tmp_path / "whole", whole, in_flight=1)
    run = tmp_path / "run"
    with pytest.raises(Killed):
        await explore(run, Reloaded(25), in_flight=1)
    again = Reloaded()
    again.before = 25
    await explore(run, again, in_flight=1, resume=True)
    assert len(again.seeds) + 25 == len(whole.seeds)
    assert (run / "pairs.jsonl").read_bytes() == (tmp_path / "whole" / "pairs.jsonl").read_bytes()


async def test_a_step_thrown_away_further_on_is_not_paid_for_again(tmp_path: Path) -> None:
    class Reloaded(Mortal):
        """Weights change once the policy has been called so often, in this life and the ones before."""

        before, change = 0, 49

        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            found = await super().act(messages, seed=seed, affinity=affinity)
            version = "v0" if len(self.seeds) + self.before < self.change else "v1"
            return Proposal(found.action, found.usage, (version,), found.server)

    whole = Reloaded()
    await explore(tmp_path / "whole", whole, in_flight=1)
    with Journal.open(tmp_path / "whole") as journal:
        assert [event.step for event in journal.events() if isinstance(event, Discarded)] != []
    for lives in range(50, len(whole.seeds), 5):
        run, again = tmp_path / f"run{lives}", Reloaded()
        with pytest.raises(Killed):
            await explore(run, Reloaded(lives), in_flight=1)
        again.before = lives
        await explore(run, again, in_flight=1, resume=True)
        assert len(again.seeds) + lives == len(whole.seeds), lives
        assert (run / "pairs.jsonl").read_bytes() == (tmp_path / "whole" / "pairs.jsonl").read_bytes()


async def test_what_sqlite_cannot_hold_ends_the_run_and_hangs_nobody(tmp_path: Path) -> None:
    class Huge(ScriptedPolicy):
        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            found = await super().act(messages, seed=seed, affinity=affinity)
            return Proposal(found.action, Usage(completion_tokens=2**64), ("v0",), "s")

    async with asyncio.timeout(20):
        with pytest.raises(JournalError, match="holds what SQLite cannot"):
            await explore(tmp_path / "run", Huge(default=walk))


async def test_failed_tasks_of_an_earlier_life_do_not_end_a_resumed_run(tmp_path: Path) -> None:
    class Away(Mortal):
        async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
            raise ServerUnreachable("nobody there")

    few = FailurePolicy(max_failed_tasks=1)
    with pytest.raises(ServerUnreachable):
        await explore(tmp_path / "run", Away(), failures=few)
    sampler = await explore(tmp_path / "run", Mortal(), failures=few, resume=True)
    assert sampler.summary().tasks == 6


async def test_leaving_the_events_without_closing_them_leaves_nothing_running(tmp_path: Path) -> None:
    env = ToyEnv()
    async with Sampler(env, policy=Mortal(), method=METHOD, run_dir=tmp_path / "run") as sampler:
        events = sampler.events(tasks(6))
        await anext(events)
    assert env.open_episodes == 0
    await events.aclose()


async def test_one_writer_a_run_and_the_holder_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    async with Sampler(ToyEnv(), policy=Mortal(), method=METHOD, run_dir=run) as sampler:
        async for _ in sampler.events(tasks(1)):
            break
        with pytest.raises(ConfigError, match=f"is being written by process {os.getpid()};"):
            Journal.resume(run)
    Journal.resume(run).close()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from rro_sdk.journal.lock import RunLock;"
        "lock = RunLock.take(Path(sys.argv[1])); print(os.getpid(), flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        pid = holder.stdout.readline().strip()
        with pytest.raises(ConfigError, match=f"process {pid};"):
            RunLock.take(tmp_path)
    finally:
        holder.kill()
        holder.communicate()
    RunLock.take(tmp_path).release()


async def test_a_journal_that_cannot_be_written_ends_the_run_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    whole = Mortal()
    await explore(tmp_path / "whole", whole)
    write, writes = Journal.write, 0

    def full(self: Journal, rows: object) -> int:
        nonlocal writes
        writes += 1
        if writes == 15:
            raise JournalError("cannot write: disk full")
        return write(self, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "write", full)
    env, policy = ToyEnv(), Mortal()
    with pytest.raises(JournalError, match="disk full"):
        await explore(run, policy, env=env)
    assert env.open_episodes == 0
    assert len(policy.seeds) < len(whole.seeds)
    monkeypatch.undo()
    await explore(run, Mortal(), resume=True)
    assert (run / "pairs.jsonl").read_bytes() == (tmp_path / "whole" / "pairs.jsonl").read_bytes()


async def test_a_writer_commits_what_comes_together_at_once(tmp_path: Path) -> None:
    from rro_sdk.journal.rows import event_row, task_row
    from tests.test_journal import EVENTS, HEADER

    journal = Journal.create(tmp_path / "run", HEADER)
    async with JournalWriter(journal) as writer:
        for number in range(100):
            writer.put(task_row(f"t{number}", b"x"))
        writer.put(task_row("t0", b"late"))
        await writer.committed()
        assert (len(journal.digests()), writer.duplicates) == (100, 1)
        assert journal.digests()["t0"] == b"x", "the first record stays"
        writer.put(event_row(EVENTS[0]))
    assert list(journal.events()) == EVENTS[:1], "its end waits for what was put"
    journal.append(EVENTS[1])
    with pytest.raises(JournalError, match="has this event already"):
        journal.append(EVENTS[1])
    journal.close()
