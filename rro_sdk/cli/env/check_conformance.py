"""`rro env check NAME`: any environment against the contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from rro_sdk.cli._options import json_option

if TYPE_CHECKING:
    from rro_sdk.envs.conformance import Report

TASKS = 5


def command_for(name: str) -> click.Command:
    """The command that checks the environment of that name, or of your own as `package.module:attribute`."""

    @click.command(name, short_help="hold any environment to the contract")
    @click.option(
        "--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="Setting of the environment."
    )
    @click.option("--tasks", "tasks_file", metavar="FILE", help="Tasks; the environment's own by default.")
    @click.option("--limit", type=int, default=TASKS, show_default=True, help="Take the first so many tasks.")
    @click.option(
        "--command",
        "-c",
        "commands",
        multiple=True,
        metavar="TEXT",
        help="What to play, in order; by default what the environment samples itself.",
    )
    @json_option
    def command(
        env_option: tuple[str, ...],
        tasks_file: str | None,
        limit: int,
        commands: tuple[str, ...],
        as_json: bool,
    ) -> None:
        """Hold the environment to the contract; exits with 1 where it breaks a rule."""
        run(
            name,
            env_option=env_option,
            tasks_file=tasks_file,
            limit=limit,
            commands=commands,
            as_json=as_json,
        )

    return command


def run(
    name: str,
    *,
    env_option: tuple[str, ...] = (),
    tasks_file: str | None = None,
    limit: int = TASKS,
    commands: tuple[str, ...] = (),
    as_json: bool = False,
) -> None:
    """Check, print the report, leave with its exit code.

    Raises:
        ConfigError: no such environment, or settings that it does not take.
        DataError: tasks that cannot be read.
        SystemExit: with 1, where a rule is broken.
    """
    import msgspec

    from rro_sdk.cli._options import environment, tasks
    from rro_sdk.envs.conformance import check

    found = tasks(name, tasks_file, limit, env_option)

    async def checked() -> Report:
        async with environment(name, env_option) as env:
            return await check(env, found, commands=(lambda task: commands) if commands else None)

    report = asyncio.run(checked())
    if as_json:
        fields = {"ok": report.ok, "figures": report.figures(), **msgspec.to_builtins(report)}
        click.echo(msgspec.json.encode(fields).decode())
    else:
        click.echo(report.lines())
        click.echo(report.figures())
    if not report.ok:
        raise SystemExit(1)
