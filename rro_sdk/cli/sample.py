"""`rro sample`: explore tasks and write preference pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from rro_sdk.cli._options import (
    environment,
    sampling_options,
    server_options,
    task_options,
    tasks,
    without_credentials,
)


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
    early_decision: bool,
    reuse: Literal["off", "unbiased", "economy"],
    speculate: bool,
    tasks_in_flight: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore tasks under the rising rule against running servers.

    Leaves RUN/journal.sqlite, RUN/pairs.jsonl (TRL's preference format) and RUN/summary.json. A run that is
    broken off, by Ctrl-C or by anything else, goes on with `rro resume RUN`.
    """
    from rro_sdk.cli._sampling import run_to_end
    from rro_sdk.inference.fleet import FleetSettings
    from rro_sdk.methods import RisingReward
    from rro_sdk.policy import Sampling
    from rro_sdk.sampler import Sampler
    from rro_sdk.spending import Spending

    method = RisingReward(
        rollouts=rollouts, max_candidates=max_candidates, on_first_rise=on_first_rise, prefix=prefix
    )
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    fleet = FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key)
    work = tasks(env_name, tasks_file, limit)

    env = environment(env_name, env_option)
    sampler = Sampler(
        env,
        servers=servers,
        method=method,
        run_dir=run_dir,
        seed=seed,
        sampling=sampling,
        fleet=fleet,
        spending=Spending(early_decision=early_decision, reuse=reuse, speculate=speculate),
        tasks_in_flight=tasks_in_flight,
        command={
            "env": env_name,
            "env_option": [without_credentials(option) for option in env_option],
            "tasks": None if tasks_file is None else str(Path(tasks_file).absolute()),
            "limit": limit,
        },
    )
    run_to_end(env, sampler, work, run_dir, quiet=quiet, as_json=as_json)
