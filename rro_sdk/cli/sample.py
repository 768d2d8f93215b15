"""`rro sample`: explore tasks and write preference pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from rro_sdk._secrets import kept_options
from rro_sdk.cli._cluster import cluster_options, cluster_settings, run_on_cluster
from rro_sdk.cli._monitoring import log_option, trace_option, traced
from rro_sdk.cli._options import (
    environment,
    json_option,
    method_options,
    method_settings,
    quiet_option,
    sampling_options,
    server_options,
    task_options,
    tasks,
)


@click.command("sample", short_help="explore tasks and write preference pairs")
@server_options
@task_options
@sampling_options(temperature=1.0)
@click.option(
    "--run", "run_dir", required=True, type=click.Path(path_type=Path), help="Folder; absent or empty."
)
@method_options
@click.option(
    "--experts", metavar="FILE", help="Expert trajectories, for eto, ipr and expert; see docs/methods.md."
)
@click.option(
    "--early-decision", is_flag=True, help="Stop rollouts where the decision is certain; same pairs."
)
@click.option(
    "--reuse",
    type=click.Choice(["off", "unbiased", "economy"]),
    default="off",
    show_default=True,
    help="Take candidates from the rollouts before.",
)
@click.option("--speculate", is_flag=True, help="Draw ahead while servers have room; same pairs.")
@click.option("--tasks-in-flight", type=int, help="By default what fills the servers.")
@log_option
@trace_option
@cluster_options
@quiet_option
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
    run_dir: Path,
    method_name: str,
    rollouts: int | None,
    max_candidates: int | None,
    rule: str | None,
    on_first_rise: str | None,
    prefix: str | None,
    method_option: tuple[str, ...],
    experts: str | None,
    early_decision: bool,
    reuse: Literal["off", "unbiased", "economy"],
    speculate: bool,
    tasks_in_flight: int | None,
    log: tuple[str, ...],
    trace: str | None,
    engine: str,
    address: str | None,
    shared: str | None,
    samplers: int | None,
    block_tasks: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore tasks against running servers, under the rising rule or another method.

    Leaves RUN/journal.sqlite, RUN/pairs.jsonl (TRL's preference format) and RUN/summary.json. A run that is
    broken off, by Ctrl-C or by anything else, goes on with `rro resume RUN`.
    """
    from rro_sdk.cli._sampling import run_to_end
    from rro_sdk.errors import ConfigError
    from rro_sdk.inference.fleet import FleetSettings
    from rro_sdk.methods.named import make_method
    from rro_sdk.policy import Sampling
    from rro_sdk.sampler import Sampler
    from rro_sdk.spending import Spending

    cluster = cluster_settings(
        engine, run_dir, address=address, shared=shared, samplers=samplers, block_tasks=block_tasks
    )
    settings = {
        "rollouts": rollouts,
        "max_candidates": max_candidates,
        "rule": rule,
        "on_first_rise": on_first_rise,
        "prefix": prefix,
        "experts": None if experts is None else str(Path(experts).absolute()),
    }
    method = make_method(method_name, method_settings(settings, method_option))
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    fleet = FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key)
    work = tasks(env_name, tasks_file, limit, env_option)
    spending = Spending(early_decision=early_decision, reuse=reuse, speculate=speculate)
    made = {
        "env": env_name,
        **kept_options(env_option),
        "tasks": None if tasks_file is None else str(Path(tasks_file).absolute()),
        "limit": limit,
        "experts": settings["experts"],
    }
    if cluster is not None:
        if log or trace:
            raise ConfigError(
                "--log and --trace watch a sampler of this process; leave them out with --engine"
            )
        run_on_cluster(
            cluster,
            work,
            run_dir,
            env=(env_name, env_option),
            resume=False,
            quiet=quiet,
            as_json=as_json,
            method=method,
            servers=servers,
            seed=seed,
            sampling=sampling,
            fleet=fleet,
            spending=spending,
            tasks_in_flight=tasks_in_flight,
            command={**made, "cluster": cluster},
        )
        return

    env = environment(env_name, env_option)
    with traced(trace) as tracer:
        sampler = Sampler(
            env,
            servers=servers,
            method=method,
            run_dir=run_dir,
            seed=seed,
            sampling=sampling,
            fleet=fleet,
            spending=spending,
            tasks_in_flight=tasks_in_flight,
            command=made,
            tracer=tracer,
        )
        run_to_end(env, sampler, work, run_dir, quiet=quiet, as_json=as_json, log=log)
