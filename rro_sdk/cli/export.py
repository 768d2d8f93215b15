"""`rro export`: a run's pairs and steps in the format of a trainer."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from rro_sdk.cli._options import json_option
from rro_sdk.export.formats import FORMATS

_SHOWN = 5

_EPILOG = "\b\nFormats:\n" + "\n".join(f"  {name:<14} {found.title}" for name, found in FORMATS.items())


@click.command("export", short_help="a run in a trainer's format, with a dataset card", epilog=_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="FORMAT", help="One of the formats below.")
@click.option("--out", type=click.Path(path_type=Path), help="New folder. [default: RUN/exports/FORMAT]")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="Folder of the model that will train: its tokens are checked for drift.",
)
@click.option(
    "--sampled-with",
    type=click.Path(path_type=Path),
    help="Folder of the model that made the pairs. [default: what the run's servers named]",
)
@click.option("--tools", type=click.Path(path_type=Path), help="JSON list of tool schemas.")
@click.option("--min-outcome", type=float, help="Least outcome of a trajectory, for sft. [default: 1]")
@click.option("--allow-drop", is_flag=True, help="Leave out rows that cannot be trained on or that drift.")
@json_option
def command(
    run: Path,
    to: str,
    out: Path | None,
    tokenizer: Path | None,
    sampled_with: Path | None,
    tools: Path | None,
    min_outcome: float | None,
    allow_drop: bool,
    as_json: bool,
) -> None:
    """Write RUN, a run's folder or a pairs.jsonl file, in the format of a trainer.

    The folder holds the data, a dataset card with hashes and the run's statistics, and what the trainer's
    loader needs beside them. It appears whole or not at all.
    """
    from rro_sdk.export import export_run

    report = export_run(
        run,
        to,
        out,
        tokenizer=tokenizer,
        sampled_with=sampled_with,
        tools=tools,
        min_outcome=min_outcome,
        allow_drop=allow_drop,
    )
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
        return
    data = report.files[0]
    click.echo(f"{report.out}/{data.name}: {report.rows} rows for {report.format}, sha256 {data.sha256}")
    for row in report.left_out[:_SHOWN]:
        click.echo(f"left out {row.id}: {row.reason}", err=True)
    if len(report.left_out) > _SHOWN:
        click.echo(f"left out {len(report.left_out) - _SHOWN} more", err=True)
    for drift in (report.drift.found if report.drift else ())[:_SHOWN]:
        click.echo(f"drift in {drift.id}, {drift.side}: {drift.kind}", err=True)
    for note in report.notes:
        click.echo(note, err=True)
