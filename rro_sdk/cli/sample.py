"""`rro sample`: explore tasks and write preference pairs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import click
import msgspec

from rro_sdk.cli._options import environment, sampling_options, server_options, task_options, tasks
from rro_sdk.collector import fewer_collections


@click.command("sample", short_help="explore tasks and write preference pairs")
@server_options
@task_options
@sampling_options(temperature=1.0)
@click.option(
    "--run", "run_dir", required=True, type=click.Path(path_type=Path), help="Folder; absent or empty."
)
@click.option("--rollouts", "-m", type=int, default=5, show_default=True, help="Rollouts per process reward.")
@click.option("--max-candidates", type=int, default=5, show_default=True)
@click.option(
    "--on-first-rise",
    type=click.Choice(["skip", "second", "prefix_action"]),
    default="skip",
    show_default=True,
)
@click.option("--prefix", type=click.Choice(["policy", "chosen"]), default="policy", show_default=True)
@click.option("--tasks-in-flight", type=int, help="By default what fills the servers.")
@click.option("--quiet", "-q", is_flag=True)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    servers: tuple[str, ...],
    concurrency: int | None,
    api_key: str | None,
    admin_api_key: str | None,
    env_name: str,
    env_option: tuple[str, ...],
    tasks_file: str | None,
    limit: int | None,
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    run_dir: Path,
    rollouts: int,
    max_candidates: int,
    on_first_rise: Literal["skip", "second", "prefix_action"],
    prefix: Literal["policy", "chosen"],
    tasks_in_flight: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore tasks under the rising rule against running servers.

    Leaves RUN/journal.sqlite, RUN/pairs.jsonl (TRL's preference format) and RUN/summary.json.
    """
    from rro_sdk.cli._progress import SamplingProgress
    from rro_sdk.inference.fleet import FleetSettings
    from rro_sdk.methods import RisingReward
    from rro_sdk.policy import Sampling
    from rro_sdk.report.text import format_summary, write_summary
    from rro_sdk.sampler import Sampler

    method = RisingReward(
        rollouts=rollouts, max_candidates=max_candidates, on_first_rise=on_first_rise, prefix=prefix
    )
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    fleet = FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key)
    work = tasks(env_name, tasks_file, limit)

    async def run() -> None:
        async with environment(env_name, env_option) as env:
            sampler = Sampler(
                env,
                servers=servers,
                method=method,
                run_dir=run_dir,
                seed=seed,
                sampling=sampling,
                fleet=fleet,
                tasks_in_flight=tasks_in_flight,
            )
            async with sampler:
                with SamplingProgress(sampler, len(work), quiet=quiet) as progress:
                    async for _ in sampler.events(work):
                        progress.update()
            summary = sampler.summary()
            write_summary(summary, run_dir)
            click.echo(msgspec.json.encode(summary).decode() if as_json else format_summary(summary))

    with fewer_collections():
        asyncio.run(run())
