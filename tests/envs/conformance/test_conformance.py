"""The kit finds what is broken, says where, and always comes back."""

from __future__ import annotations

import json

import pytest

from rro_sdk.envs.base import Environment
from rro_sdk.envs.conformance import CheckSettings, Report, check
from rro_sdk.errors import ConfigError
from rro_sdk.types import Task
from tests.cli.test_cli import rro_async
from tests.envs.conformance import worlds

PATIENT = CheckSettings(check_timeout_s=60.0, max_block_s=10.0)
"""So that a machine that is busy with other tests breaks no rule."""


async def checked(env: Environment, settings: CheckSettings = PATIENT) -> Report:
    return await check(env, worlds.tasks(), settings=settings)


def broken(report: Report) -> set[str]:
    return {each.check for each in report.verdicts if each.ok is False}


async def test_a_world_that_keeps_the_contract_passes_every_rule() -> None:
    report = await checked(worlds.Corridor())
    assert report.ok
    assert all(each.ok for each in report.verdicts), report.lines()
    assert report.figures() == "corridor: 13 of 13 rules kept on 3 tasks"


@pytest.mark.parametrize(
    ("world", "rule", "words"),
    [
        (worlds.NoSteps, "shape", "max_steps"),
        (worlds.NoName, "shape", "name is not a text"),
        (worlds.OutOfBounds, "bounds", "task 't0', turn 2: limit_outcome is 1.5"),
        (worlds.NotANumber, "bounds", "limit_outcome is nan"),
        (worlds.SpeaksPlainText, "bounds", "gave a str, not an Observation"),
        (worlds.Surrogates, "bounds", "lone surrogate"),
        (worlds.Counting, "determinism", "task 't0', turn 1: observations differ between two runs"),
        (worlds.SharedForks, "fork independence", "differ"),
        (worlds.ForksItself, "fork independence", "fork gives the episode itself"),
        (worlds.ForgetfulForks, "fork independence", "task 't0', turn 2: a fork begins with another"),
        (worlds.EndsEarly, "step limit", "raised EnvironmentFault"),
        (worlds.NeverOver, "after the end", "takes another command"),
        (worlds.CrashesClosed, "after close", "raised ZeroDivisionError"),
        (worlds.EmptyCommands, "odd actions", "raised IndexError"),
        (worlds.NeedsData, "bad tasks", "raised KeyError"),
        (worlds.OneMemory, "concurrency", "when 16 episodes run at once"),
        (worlds.LeaksFiles, "clean-up", "more open files after 20"),
        (worlds.ClosesOnce, "closing", "raised KeyError"),
    ],
)
async def test_each_broken_rule_is_found(world: type[Environment], rule: str, words: str) -> None:
    report = await checked(world())
    assert not report.ok
    assert rule in broken(report), report.lines()
    assert words in next(each.detail for each in report.verdicts if each.check == rule)
    assert rule in report.figures()


async def test_an_environment_that_hangs_fails_its_check_and_no_more() -> None:
    report = await checked(worlds.HoldsItsLock(), CheckSettings(check_timeout_s=0.2))
    assert "cancellation" in broken(report)
    assert "did not come back within 0.2 s" in report.lines()
    assert len(report.verdicts) == 13


async def test_a_world_that_blocks_the_event_loop_is_found() -> None:
    report = await checked(worlds.Blocks(), CheckSettings(max_block_s=0.1))
    assert "odd actions" in broken(report)
    assert "event loop stood still" in report.lines()


async def test_a_process_that_outlives_its_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rro_sdk.envs.conformance.rules.STRAYS_S", 0.1)
    env = worlds.LeavesAProcess()
    report = await checked(env)
    assert env.child is not None
    env.child.kill()
    await env.child.wait()
    assert broken(report) == {"closing"}, report.lines()
    assert "1 child processes" in report.lines()


async def test_what_a_world_says_never_gets_into_the_report() -> None:
    class Talkative(worlds.Corridor):
        async def start(self, task: Task) -> worlds.Walk:
            raise RuntimeError(f"the agent said {task.instruction}")

    report = await checked(Talkative())
    assert not report.ok
    assert "Walk 0" not in report.lines()
    assert "raised RuntimeError" in report.lines()


async def test_rules_that_nothing_was_held_against_are_named() -> None:
    report = await check(worlds.Corridor(), worlds.tasks(), commands=lambda task: ("a",), settings=PATIENT)
    assert report.ok
    assert [each.check for each in report.verdicts if each.ok is None] == ["after the end"]
    assert "1 not tried" in report.figures()


async def test_bad_input_to_the_kit() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        await check(worlds.Corridor(), [])
    with pytest.raises(ConfigError, match="concurrency"):
        CheckSettings(concurrency=0)


async def test_the_command_line_runs_the_kit_on_anybodys_environment() -> None:
    target = "tests.envs.conformance.worlds:suite"
    done = await rro_async("env", "check", target, "--limit", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "corridor: 13 of 13 rules kept on 2 tasks"
    done = await rro_async("env", "check", target, "-c", "a", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] and report["env"] == "corridor" and len(report["verdicts"]) == 13


async def test_the_command_line_says_no_with_1_and_bad_input_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "suite", worlds.Suite(make=worlds.NoName, load_tasks=worlds.tasks))
    done = await rro_async("env", "check", "tests.envs.conformance.worlds:suite")
    assert done.returncode == 1
    assert "broken: shape" in done.stdout.splitlines()[-1]
    done = await rro_async("env", "check", "no-such-world")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no environment is called 'no-such-world'" in done.stderr
