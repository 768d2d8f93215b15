"""`rro env check webshop`: against the contract, or against what the original recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from rro_sdk.cli._options import json_option
from rro_sdk.cli.env.check_conformance import TASKS


@click.command("webshop", short_help="rewards, searches, episodes against references")
@click.option("--rewards", type=click.Path(path_type=Path), metavar="FILE", help="Recorded rewards.")
@click.option("--searches", type=click.Path(path_type=Path), metavar="FILE", help="Recorded searches.")
@click.option("--episodes", type=click.Path(path_type=Path), metavar="FILE", help="Recorded episodes.")
@click.option(
    "--goals",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Goals that they refer to; those beside them and in the data folder are found.",
)
@click.option("--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="Setting of the environment.")
@click.option("--tasks", "tasks_file", metavar="FILE", help="Tasks of the contract's check.")
@click.option("--limit", type=int, default=TASKS, show_default=True, help="How many of them.")
@json_option
def command(
    rewards: Path | None,
    searches: Path | None,
    episodes: Path | None,
    goals: tuple[Path, ...],
    env_option: tuple[str, ...],
    tasks_file: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Compare with recorded references, in the formats of the data folder's webshop/*_reference.jsonl.

    Bars: rewards 100 %; first hit of a search 100 %, its first page 97 %; episodes 99.5 %. Every
    disagreement is listed; exits with 1 under a bar. Without references the environment is held to the
    contract that all environments keep.
    """
    if rewards is None and searches is None and episodes is None:
        from rro_sdk.cli.env.check_conformance import run

        run("webshop", env_option=env_option, tasks_file=tasks_file, limit=limit, as_json=as_json)
        return
    from rro_sdk.cli._options import environment
    from rro_sdk.envs.webshop.check import Report, check
    from rro_sdk.envs.webshop.env import WebShop

    async def checked() -> Report:
        async with environment("webshop", env_option) as env:
            assert isinstance(env, WebShop)
            return await check(env, rewards=rewards, searches=searches, episodes=episodes, goals=goals)

    report = asyncio.run(checked())
    if as_json:
        click.echo(msgspec.json.encode(report.fields()).decode())
    else:
        for line in report.lines():
            click.echo(line)
        click.echo(report.figures())
    if not report.ok:
        raise SystemExit(1)
