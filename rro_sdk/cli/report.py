"""`rro report`: the numbers of a run, read back from its journal."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from rro_sdk.cli._options import json_option


@click.command("report", short_help="the numbers of a run")
@click.argument("run_dir", type=click.Path(path_type=Path))
@json_option
def command(run_dir: Path, as_json: bool) -> None:
    """Print what a run's journal says: candidates beside their null, rollouts, tokens, pairs and more."""
    from rro_sdk.journal import Journal
    from rro_sdk.report.text import format_summary, summary_of

    with Journal.open(run_dir) as journal:
        summary = summary_of(journal)
    click.echo(msgspec.json.encode(summary).decode() if as_json else format_summary(summary))
