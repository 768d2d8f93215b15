"""`rro env check`: an environment held to the contract, or to what its original program recorded."""

from __future__ import annotations

import click

from rro_sdk.cli.env._lazy import LazyGroup

COMMANDS = {
    "intercode-sql": ("rro_sdk.cli.env.check_intercode_sql:command", "rewards against recorded turns"),
    "webshop": ("rro_sdk.cli.env.check_webshop:command", "rewards, searches, episodes against references"),
}


@click.group("check", cls=LazyGroup, lazy=COMMANDS, short_help="hold an environment to its contract")
def command() -> None:
    """Hold an environment to what its original program recorded.

    Each check ends with one line of figures and exits with 1 under its bar.
    """
