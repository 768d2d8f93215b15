"""`rro check`: whether a run's journal holds together, and what the run owes."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from rro_sdk.cli._options import json_option


@click.command("check", short_help="whether a run's journal holds together")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--recover",
    "into",
    type=click.Path(path_type=Path),
    metavar="NEW",
    help="Save what can be read of a damaged journal into this folder.",
)
@json_option
def command(run_dir: Path, into: Path | None, as_json: bool) -> None:
    """Read a run from end to end: file, events, estimates against rollouts, exports. Exit 1 on a problem.

    Lists the tasks that are not finished; `rro resume` goes on with them.
    """
    from rro_sdk.checking import check, recover

    if into is not None:
        saved = recover(run_dir, into)
        told = ", ".join(f"{count} of {table}" for table, count in saved.items())
        click.echo(f"saved {told} in {into}", err=as_json)
        run_dir = into
    found = check(run_dir)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for problem in found.problems:
            click.echo(f"problem: {problem}")
        for task, step in found.owed.items():
            click.echo(f"owed: task {task} from step {step}")
        click.echo(
            f"{run_dir}: {found.steps} steps, {found.replies} replies, {found.pairs} pairs,"
            f" {len(found.owed)} tasks owed, {len(found.problems)} problems"
        )
    if found.problems:
        sys.exit(1)
