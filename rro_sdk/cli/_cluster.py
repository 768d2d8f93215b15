"""What `rro sample --engine ray` and `rro resume` of such a run do alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from rro_sdk._secrets import holds_secret
from rro_sdk.errors import ConfigError, JournalError
from rro_sdk.types import Task

F = TypeVar("F", bound=Callable[..., Any])

SHOW_EVERY_S = 10.0


def cluster_options(command: F) -> F:
    """Where a run is sampled; only --engine ray takes the others."""
    for option in (
        click.option("--block-tasks", type=int, help="Tasks handed to a sampler at once; 128 by default."),
        click.option("--samplers", type=int, help="Ray actors, one CPU each; by default all CPUs."),
        click.option(
            "--shared",
            metavar="FOLDER",
            help="What all nodes see: a path or a URL of fsspec; RUN.shards by default, on one machine.",
        ),
        click.option(
            "--address", metavar="HOST:PORT", help="Of a Ray cluster; by default one in this process."
        ),
        click.option(
            "--engine",
            type=click.Choice(["process", "ray"]),
            default="process",
            show_default=True,
            help="ray samples on many machines; see docs/scale.md.",
        ),
    ):
        command = option(command)
    return command


def cluster_settings(
    engine: str,
    run_dir: Path,
    *,
    address: str | None,
    shared: str | None,
    samplers: int | None,
    block_tasks: int | None,
) -> dict[str, Any] | None:
    """The settings of a cluster's run, as its header keeps them; None for one in this process.

    Raises:
        ConfigError: options that do not go together.
    """
    given = {"--address": address, "--shared": shared, "--samplers": samplers, "--block-tasks": block_tasks}
    if engine == "process":
        if odd := [name for name, value in given.items() if value is not None]:
            raise ConfigError(f"{odd[0]} is for --engine ray alone; give that too, or leave it out")
        return None
    if shared is None:
        if address is not None:
            raise ConfigError("--address needs --shared, a folder that every node of the cluster sees")
        shared = str(run_dir.absolute().with_name(f"{run_dir.absolute().name}.shards"))
    elif holds_secret(shared):
        raise ConfigError(
            "--shared holds a password, which the run would keep: leave it to the settings of that file"
            " system (a key file, a profile, the environment)"
        )
    elif "://" not in shared:
        shared = str(Path(shared).absolute())
    return {"address": address, "shared": shared, "samplers": samplers, "block_tasks": block_tasks}


def run_on_cluster(
    settings: dict[str, Any],
    tasks: Sequence[Task],
    run_dir: Path,
    *,
    env: tuple[str, tuple[str, ...]],
    resume: bool,
    quiet: bool,
    as_json: bool,
    **work: Any,
) -> None:
    """Explore the tasks on Ray; leave journal, pairs and summary in the run's folder.

    Args:
        settings: of `cluster_settings`.
        tasks: what is explored.
        run_dir: the run's folder.
        env: name and options of the environment.
        resume: whether the run began already.
        quiet, as_json: as of the command.
        work: the other arguments of `rro_sdk.cluster.Work`.

    Raises:
        KeyboardInterrupt: after the samplers stopped; the run can be resumed.
    """
    from rro_sdk.cli._options import environment
    from rro_sdk.cli._sampling import report_to
    from rro_sdk.cluster import Totals, Work, sample_on_ray

    began = shown = time.monotonic()

    def note(totals: Totals) -> None:
        nonlocal shown
        if not quiet and time.monotonic() - shown >= SHOW_EVERY_S:
            shown = time.monotonic()
            click.echo(f"{_figures(totals, len(tasks))}, seconds {shown - began:.0f}", err=True)

    try:
        totals = asyncio.run(
            sample_on_ray(
                Work(make_env=partial(environment, *env), **work),
                tasks,
                run_dir,
                shared=settings["shared"],
                address=settings["address"],
                samplers=settings["samplers"],
                resume=resume,
                note=note,
                **({} if settings["block_tasks"] is None else {"block_tasks": settings["block_tasks"]}),
            )
        )
    except (KeyboardInterrupt, JournalError):
        click.echo(f"what was drawn is kept; go on with: rro resume {run_dir}", err=True)
        raise
    if not quiet:
        click.echo(_figures(totals, len(tasks)), err=True)
    report_to(run_dir, as_json=as_json)


def _figures(totals: Any, tasks: int) -> str:
    return (
        f"tasks {totals.finished}/{tasks}, failed {totals.failed}, pairs {totals.pairs},"
        f" blocks {totals.blocks}, samplers lost {totals.lost}, blocks moved {totals.moved}"
    )
