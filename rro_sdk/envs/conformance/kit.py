"""The kit itself: every rule run, every outcome a verdict.

    report = await check(MyEnvironment(), tasks)
    assert report.ok, report.lines()

Every check is one rule of the contract, run on real episodes, and ends in a verdict with what was seen.
What an environment raises, or how long it hangs, is a verdict too: the kit itself always comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rro_sdk.envs.base import Environment
from rro_sdk.envs.conformance import rules
from rro_sdk.envs.conformance.play import Bench, Broken, NotTried
from rro_sdk.envs.conformance.process import standing
from rro_sdk.errors import ConfigError, RROError
from rro_sdk.types import Task

Commands = Callable[[Task], Sequence[str]]
"""What to play on a task, in order."""

PLAIN_COMMANDS = ("help", "look", "1", "submit")
"""Played where neither the caller nor the environment knows better: what most worlds answer somehow."""


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """How an environment is checked.

    Attributes:
        check_timeout_s: wall time of one check; an environment that hangs fails it.
        concurrency: episodes at once.
        max_block_s: longest time for which the event loop may stand still.
        max_observation: characters of one observation.
    """

    check_timeout_s: float = 120.0
    concurrency: int = 16
    max_block_s: float = 1.0
    max_observation: int = 10_000_000

    def __post_init__(self) -> None:
        for name in ("check_timeout_s", "concurrency", "max_block_s", "max_observation"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")


class Verdict(msgspec.Struct, frozen=True):
    """One rule: `ok` is None where there was nothing to hold it against; `detail` says what was seen."""

    check: str
    ok: bool | None
    detail: str = ""


class Report(msgspec.Struct, frozen=True):
    """All verdicts of one environment."""

    env: str
    tasks: int
    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule was broken."""
        return all(each.ok is not False for each in self.verdicts)

    def lines(self) -> str:
        """The report as text, a line for each rule."""
        words = {True: "ok", False: "BROKEN", None: "not tried"}
        width = max(len(each.check) for each in self.verdicts)
        return "\n".join(
            f"{each.check:{width}}  {words[each.ok]}{': ' if each.detail else ''}{each.detail}"
            for each in self.verdicts
        )

    def figures(self) -> str:
        """One line to remember."""
        kept = sum(each.ok is True for each in self.verdicts)
        broken = [each.check for each in self.verdicts if each.ok is False]
        left = sum(each.ok is None for each in self.verdicts)
        return (
            f"{self.env}: {kept} of {len(self.verdicts)} rules kept on {self.tasks} tasks"
            + (f", {left} not tried" if left else "")
            + (f", broken: {', '.join(broken)}" if broken else "")
        )


async def check(
    env: Environment,
    tasks: Sequence[Task],
    *,
    commands: Commands | None = None,
    settings: CheckSettings | None = None,
) -> Report:
    """Hold an environment to the contract. It is closed by the last check.

    Args:
        env: what to check; its `sample_commands` are played, or plain ones where it has none.
        tasks: what to play; two different ones or more, for what episodes may get from each other.
        commands: what to play instead.
        settings: limits.

    Raises:
        ConfigError: no tasks.
    """
    if not tasks:
        raise ConfigError("an environment is checked on tasks: give at least one")
    settings = settings or CheckSettings()
    play = commands or (lambda task: tuple(env.sample_commands(task)) or PLAIN_COMMANDS)
    bench = Bench(
        env=env,
        walks=tuple((task, tuple(play(task))) for task in tasks),
        concurrency=settings.concurrency,
        max_block_s=settings.max_block_s,
        max_observation=settings.max_observation,
        before=standing(),
    )
    verdicts = [
        await _verdict(name, rule(bench), settings.check_timeout_s) for name, rule in rules.RULES.items()
    ]
    return Report(str(getattr(env, "name", type(env).__name__)), len(tasks), tuple(verdicts))


async def _verdict(name: str, running: Coroutine[Any, Any, str], limit_s: float) -> Verdict:
    """Run one rule in a task of its own: whatever it raises is then a value."""
    task = asyncio.ensure_future(running)
    try:
        await asyncio.wait({task}, timeout=limit_s)
    finally:
        late = not task.done()
        if late:
            task.cancel()
            await asyncio.wait({task}, timeout=limit_s)
    if late:
        return Verdict(name, False, f"did not come back within {limit_s:g} s")
    if task.cancelled():
        return Verdict(name, False, "was cancelled by the environment")
    error = task.exception()
    if error is None:
        return Verdict(name, True, task.result())
    if isinstance(error, NotTried):
        return Verdict(name, None, str(error))
    if isinstance(error, Broken):
        return Verdict(name, False, str(error))
    # The text of a stranger's exception may hold anything, such as an agent's words.
    said = f": {error}" if isinstance(error, RROError) else ""
    return Verdict(name, False, f"raised {type(error).__name__}{said}")
