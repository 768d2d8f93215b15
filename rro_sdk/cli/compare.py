"""`rro compare`: methods side by side on the same tasks, seeds and servers, on one budget."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from rro_sdk._secrets import kept_options
from rro_sdk.cli._options import (
    environment,
    json_option,
    quiet_option,
    server_options,
    task_options,
    tasks,
)

RESULT_NAME = "compare.json"


@click.command("compare", short_help="methods side by side on one budget")
@click.option(
    "--methods",
    "-m",
    multiple=True,
    required=True,
    metavar="NAME[:SETTING=VALUE...],...",
    help="Such as rro,fixed,mcts or rro:rule=strict; the methods of rro sample and their settings.",
)
@click.option(
    "--budget-tokens", type=int, required=True, help="Generated tokens for each method on each seed."
)
@server_options
@task_options
@click.option("--experts", "experts_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Expert trajectories, for ipr, eto and expert.")  # fmt: skip
@click.option("--seeds", default="0", show_default=True, help="Such as 0,1,2.")
@click.option(
    "--temperature", type=float, default=1.0, show_default=True, help="Of the sampling; 0 is greedy."
)
@click.option("--top-p", type=float, default=1.0, show_default=True, help="Of the sampling, at most 1.")
@click.option("--max-tokens", type=int, default=256, show_default=True, help="Of one reply.")
@click.option("--tasks-in-flight", type=int, help="By default what fills the servers.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder; one in it goes on where it was."
)
@quiet_option
@json_option
def command(
    methods: tuple[str, ...],
    budget_tokens: int,
    servers: tuple[str, ...],
    concurrency: int | None,
    api_key: str | None,
    admin_api_key: str | None,
    env_name: str,
    env_option: tuple[str, ...],
    tasks_file: str | None,
    limit: int | None,
    experts_file: Path | None,
    seeds: str,
    temperature: float,
    top_p: float,
    max_tokens: int,
    tasks_in_flight: int | None,
    out: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run each method on the same tasks and seeds until its budget is spent, and print what came of it.

    Each run is a folder of its own, OUT/METHOD/seed-N. A comparison that is broken off goes on when the same
    command is given again; so does one with a larger budget. OUT/compare.json has the figures.
    """
    import asyncio

    from rro_sdk.atomic import write_lines
    from rro_sdk.collector import fewer_collections
    from rro_sdk.compare import Comparison, compare, format_comparison, read_contenders
    from rro_sdk.errors import ConfigError, JournalError
    from rro_sdk.inference.fleet import FleetSettings
    from rro_sdk.methods.experts import Experts
    from rro_sdk.policy import Sampling

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; choose a folder")
    if budget_tokens < 1:
        raise ConfigError(f"--budget-tokens must be at least 1, not {budget_tokens}")
    work = tasks(env_name, tasks_file, limit, env_option)
    experts = Experts.read(experts_file) if experts_file is not None else None
    contenders = read_contenders(methods, experts=experts, tasks=work)
    numbers = _seeds(seeds)
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    fleet = FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key)

    async def run() -> Comparison:
        async with environment(env_name, env_option) as env:
            return await compare(
                env,
                contenders,
                work,
                out=out,
                budget_tokens=budget_tokens,
                seeds=numbers,
                servers=servers,
                sampling=sampling,
                fleet=fleet,
                tasks_in_flight=tasks_in_flight,
                command={
                    "env": env_name,
                    **kept_options(env_option),
                    "tasks": None if tasks_file is None else str(Path(tasks_file).absolute()),
                    "limit": limit,
                    "experts": None if experts_file is None else str(experts_file.absolute()),
                    "compared": True,
                },
                told=lambda line: None if quiet else click.echo(line, err=True),
            )

    try:
        with fewer_collections():
            found = asyncio.run(run())
    except (KeyboardInterrupt, JournalError):
        click.echo("what was drawn is kept; give the same command again to go on", err=True)
        raise
    encoded = msgspec.json.encode(found)
    try:
        write_lines(out / RESULT_NAME, [msgspec.json.format(encoded, indent=2)])
    except OSError as error:
        raise JournalError(f"cannot write {out / RESULT_NAME}: {error.strerror}") from error
    click.echo(encoded.decode() if as_json else format_comparison(found))


def _seeds(text: str) -> list[int]:
    from rro_sdk.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--seeds {text!r} is not whole numbers with commas between, such as 0,1,2"
        ) from None
