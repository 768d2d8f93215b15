"""`rro evaluate`: mean outcome of a served policy on tasks."""

from __future__ import annotations

import asyncio

import click
import msgspec

from rro_sdk.cli._options import (
    environment,
    json_option,
    sampling_options,
    server_options,
    task_options,
    tasks,
)
from rro_sdk.collector import fewer_collections

AT_ONCE = 64
"""Tasks played at once per server where its queue decides; each has one request in flight."""


@click.command("evaluate", short_help="mean outcome of a served policy on tasks")
@server_options
@task_options
@sampling_options(temperature=0.0)
@json_option
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
    as_json: bool,
) -> None:
    """Play each task once, greedily by default, and print the mean outcome with its interval."""
    from rro_sdk.evaluation import evaluate
    from rro_sdk.inference.fleet import Fleet, FleetSettings
    from rro_sdk.policy import ReActPolicy, Sampling

    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    settings = FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key)
    work = tasks(env_name, tasks_file, limit, env_option)

    async def run() -> None:
        async with (
            environment(env_name, env_option) as env,
            Fleet(servers, settings) as fleet,
        ):
            await fleet.check()
            at_once = (concurrency or AT_ONCE) * len(fleet.urls)
            found = await evaluate(env, ReActPolicy(fleet, sampling), work, seed=seed, at_once=at_once)
            if as_json:
                click.echo(msgspec.json.encode(found).decode())
                return
            low, high = found.interval
            click.echo(
                f"mean outcome {found.mean_outcome:.3f} (95 % interval {low:.3f} to {high:.3f})"
                f" on {found.tasks} tasks, {found.solved} solved"
            )

    with fewer_collections():
        asyncio.run(run())
