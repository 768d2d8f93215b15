"""`rro data synth`: tasks from what an environment holds."""

from __future__ import annotations

import click

from rro_sdk.cli._groups import LazyGroup

COMMANDS = {
    "sql": ("rro_sdk.cli.data.synth_sql:command", "questions over any databases"),
    "webshop": ("rro_sdk.cli.data.synth_webshop:command", "goals for any catalogue"),
}


@click.group("synth", cls=LazyGroup, lazy=COMMANDS, short_help="make tasks from what an environment holds")
def command() -> None:
    """Make tasks from what an environment holds. The same seed gives the same files."""
