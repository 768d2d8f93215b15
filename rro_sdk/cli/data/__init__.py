"""`rro data`: data sets that are fetched, and tasks that are made."""

from __future__ import annotations

import click

from rro_sdk.cli._groups import LazyGroup

COMMANDS = {
    "check": ("rro_sdk.cli.data.check:command", "whether data files are what they should be"),
    "experts": ("rro_sdk.cli.data.experts:command", "divide SQL questions and play their gold statements"),
    "explore": ("rro_sdk.cli.data.explore:command", "let a served model make tasks in any environment"),
    "get": ("rro_sdk.cli.data.get:command", "fetch known data sets"),
    "list": ("rro_sdk.cli.data.list:command", "known data sets, what is here, what works without"),
    "synth": ("rro_sdk.cli.data.synth:command", "make tasks with gold answers and expert trajectories"),
}


@click.group("data", cls=LazyGroup, lazy=COMMANDS, short_help="get data sets, make tasks")
def command() -> None:
    """Data sets that are fetched, and tasks that are made."""
