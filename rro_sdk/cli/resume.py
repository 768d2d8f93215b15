"""`rro resume`: go on with a run that was broken off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rro_sdk.cli._monitoring import log_option, trace_option, traced
from rro_sdk.cli._options import json_option, quiet_option, with_whole_paths


@click.command("resume", short_help="go on with a run that was broken off")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--servers",
    "-s",
    multiple=True,
    metavar="URL",
    callback=with_whole_paths,
    help="Those of the run by default; @FILE as for rro sample.",
)
@click.option(
    "--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="In place of the run's own, such as a URL."
)
@click.option("--api-key", envvar="RRO_API_KEY", help="Bearer token; better as RRO_API_KEY.")
@click.option("--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="For aborts; better as RRO_ADMIN_API_KEY.")
@click.option("--concurrency", type=int, help="Requests per server; by default its own queue decides.")
@click.option("--tasks-in-flight", type=int, help="By default what fills the servers.")
@click.option("--address", metavar="HOST:PORT", help="Of the Ray cluster, for a run of --engine ray.")
@click.option("--samplers", type=int, help="Of a run of --engine ray.")
@log_option
@trace_option
@quiet_option
@json_option
def command(
    run_dir: Path,
    servers: tuple[str, ...],
    env_option: tuple[str, ...],
    api_key: str | None,
    admin_api_key: str | None,
    concurrency: int | None,
    tasks_in_flight: int | None,
    address: str | None,
    samplers: int | None,
    log: tuple[str, ...],
    trace: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore what a run of `rro sample` still owes; nothing that it recorded is asked for again.

    Servers and their number may be others. Method, seed, tasks and model are the run's own: the command
    refuses a model or tasks that differ, and says what does. A run that owes nothing is exported again,
    without a server.
    """
    from rro_sdk._secrets import options_of_run
    from rro_sdk.cli._cluster import run_on_cluster
    from rro_sdk.cli._options import environment, tasks
    from rro_sdk.cli._sampling import report_to, run_to_end
    from rro_sdk.errors import ConfigError
    from rro_sdk.inference.fleet import FleetSettings
    from rro_sdk.journal import Journal, never_began
    from rro_sdk.methods.reading import method_from
    from rro_sdk.policy import Sampling
    from rro_sdk.run import export_again, owed
    from rro_sdk.sampler import Sampler
    from rro_sdk.spending import Spending

    if run_dir.is_dir() and never_began(run_dir):
        raise ConfigError(f"the run in {run_dir} never began; begin it with: rro sample --run {run_dir}")
    with Journal.open(run_dir) as journal:
        header = journal.header()
    if header.command is None:
        raise ConfigError(
            f"the run in {run_dir} was made by a program; resume it there: Sampler(..., resume=True)"
        )
    made = header.command
    if made.get("compared"):
        raise ConfigError(f"the run in {run_dir} was made by rro compare; give that command again to go on")
    cluster = made.get("cluster")
    if cluster is None and (address is not None or samplers is not None):
        raise ConfigError(f"the run in {run_dir} is not of --engine ray; leave --address and --samplers out")
    options = options_of_run(made, env_option)
    work = tasks(made["env"], made["tasks"], made["limit"], options)
    if not owed(run_dir, work, where=made["tasks"] or made["env"]):
        export_again(run_dir)
        report_to(run_dir, as_json=as_json)
        return
    sampling = {name: value for name, value in header.sampling.items() if name != "type"}
    sampling["stop"] = tuple(sampling.get("stop", ()))
    as_begun: dict[str, Any] = {
        "servers": servers or tuple(header.servers),
        "method": method_from(header.method, made.get("experts")),
        "seed": header.seed,
        "sampling": Sampling(**sampling),
        "fleet": FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key),
        "spending": Spending(**{name: value for name, value in header.spending.items() if name != "type"}),
        "tasks_in_flight": tasks_in_flight,
        "command": made,
    }
    if cluster is not None:
        if log or trace:
            raise ConfigError("--log and --trace watch a sampler of this process; leave them out here")
        now = {"address": address or cluster["address"], "samplers": samplers or cluster["samplers"]}
        run_on_cluster(
            {**cluster, **now},
            work,
            run_dir,
            env=(made["env"], options),
            resume=True,
            quiet=quiet,
            as_json=as_json,
            **as_begun,
        )
        return
    env = environment(made["env"], options)
    with traced(trace) as tracer:
        sampler = Sampler(env, run_dir=run_dir, resume=True, tracer=tracer, **as_begun)
        run_to_end(env, sampler, work, run_dir, quiet=quiet, as_json=as_json, log=log)
