"""`rro data explore`: a served model makes tasks by exploring."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rro_sdk.atomic import refuse_taken
from rro_sdk.cli._options import (
    env_name_option,
    json_option,
    quiet_option,
    sampling_options,
    server_options,
)

if TYPE_CHECKING:
    from rro_sdk.synthesis.explore import Collection

PER_SERVER = 64
"""Walks at once per server where its queue decides; each has one request in flight."""

TOLD_EVERY_S = 10.0


@click.command("explore", short_help="let a served model make tasks in any environment")
@server_options
@env_name_option
@click.option("--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="Setting of the environment.")
@click.option("--tasks", "tasks_file", metavar="FILE", help="Tasks to begin walks with.")
@sampling_options(temperature=1.0)
@click.option("--n", type=int, default=100, show_default=True, help="Tasks wanted.")
@click.option("--walks", type=int, default=0, help="Walks at most. [default: four a task]")
@click.option("--likeness", type=float, default=0.75, show_default=True, help="From which two are alike.")
@click.option("--per-shape", type=int, default=3, show_default=True, help="Tasks of one shape.")
@click.option("--solvers", type=int, default=0, help="Rollouts on the new task, one of which must solve it.")
@click.option("--hindsight", metavar="MODULE:CLASS", help="Your own way of looking back.")
@click.option("--out", type=click.Path(path_type=Path), help="New folder. [default: runs/explored-ENV-SEED]")
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
    temperature: float,
    top_p: float,
    max_tokens: int,
    seed: int,
    n: int,
    walks: int,
    likeness: float,
    per_shape: int,
    solvers: int,
    hindsight: str | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore, write down what was solved, replay it from the start, keep what is new.

    Leaves OUT/tasks.jsonl for --tasks, OUT/sft.jsonl for `rro train sft` and OUT/manifest.json. Where it is
    broken off, what was kept until then is written; where it is killed, that lies in OUT.partial.
    Exit code 1 where no task was kept.
    """
    import msgspec

    from rro_sdk.cli._options import environment, tasks
    from rro_sdk.collector import fewer_collections
    from rro_sdk.inference.fleet import Fleet, FleetSettings
    from rro_sdk.inference.listed import resolved
    from rro_sdk.policy import ReActPolicy, Sampling
    from rro_sdk.synthesis.explore import Collection, ExploreSettings, explore, hindsight_of
    from rro_sdk.synthesis.explore.partial import Partial
    from rro_sdk.synthesis.folder import write_folder

    began = time.monotonic()
    settings = ExploreSettings(
        n=n,
        walks=walks,
        seed=seed,
        at_once=(concurrency or PER_SERVER) * len(resolved(servers)),
        likeness=likeness,
        per_shape=per_shape,
        solvers=solvers,
    )
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    fleet_settings = FleetSettings(concurrency=concurrency, api_key=api_key, admin_api_key=admin_api_key)
    back = hindsight_of(env_name, hindsight)
    target = out or Path("runs") / f"explored-{env_name.partition(':')[0]}-{seed}"
    refuse_taken(target)
    partial = Partial(target, back)
    given = tasks(env_name, tasks_file, None, env_option) if tasks_file or back.needs_tasks else []
    collection = Collection()
    progress = _Progress(quiet=quiet, began=began)

    def told(so_far: Collection) -> None:
        partial.keep(so_far.found)
        progress.told(so_far)

    async def run() -> None:
        async with environment(env_name, env_option) as env, Fleet(servers, fleet_settings) as fleet:
            await fleet.check()
            policy = ReActPolicy(fleet, sampling)
            await explore(env, policy, back, settings, given=given, into=collection, told=told)

    what = {"what": f"tasks made by exploring {env_name}", "settings": msgspec.to_builtins(settings)}
    whole = False
    try:
        with fewer_collections():
            asyncio.run(run())
        whole = True
    finally:  # whatever ended it
        figures = collection.figures()
        if collection.found:
            write_folder(target, collection.lines(back), {**what, "whole": whole, **figures})
            partial.remove()
            if not whole:
                click.echo(f"the {len(collection.found)} tasks kept so far are in {target}", err=True)
    if as_json:
        figures["out"] = str(target) if collection.found else None
        click.echo(msgspec.json.encode(figures).decode())
    else:
        reasons = ", ".join(f"{count} {reason}" for reason, count in collection.left_out.most_common())
        click.echo(
            f"{target if collection.found else 'nothing written'}: {len(collection.found)} tasks of {n} from "
            f"{collection.walks} walks; left out: {reasons or 'none'}; "
            f"{collection.cost.usage.completion_tokens} tokens generated, {time.monotonic() - began:.0f} s"
        )
    if not collection.found:
        raise SystemExit(1)


class _Progress:
    """A line on stderr every few seconds."""

    def __init__(self, *, quiet: bool, began: float) -> None:
        self._quiet = quiet
        self._shown = began

    def told(self, collection: Collection) -> None:
        now = time.monotonic()
        if not self._quiet and now - self._shown >= TOLD_EVERY_S:
            self._shown = now
            click.echo(f"walks {collection.walks}, kept {len(collection.found)}", err=True)
