"""`rro env`: check environments, start and stop what they run on."""

from __future__ import annotations

import click

from rro_sdk.cli._groups import LazyGroup

COMMANDS = {
    "check": ("rro_sdk.cli.env.check:command", "hold an environment to its contract or to its original"),
    "down": ("rro_sdk.cli.env.down:command", "stop what `up` started"),
    "up": ("rro_sdk.cli.env.up:command", "start a server that an environment runs on"),
}


@click.group(
    "env", cls=LazyGroup, lazy=COMMANDS, short_help="check environments, start and stop what they need"
)
def command() -> None:
    """Check environments, start and stop what they run on."""
