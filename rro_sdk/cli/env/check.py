"""`rro env check`: an environment held to the contract, or to what its original program recorded."""

from __future__ import annotations

import click

from rro_sdk.cli._groups import LazyGroup

COMMANDS = {
    "intercode-sql": ("rro_sdk.cli.env.check_intercode_sql:command", "rewards against recorded turns"),
    "webshop": ("rro_sdk.cli.env.check_webshop:command", "rewards, searches, episodes against references"),
}


class _Checks(LazyGroup):
    """Names without a check of their own are environments for the conformance kit."""

    def find(self, ctx: click.Context, name: str) -> click.Command:
        from rro_sdk.cli.env.check_conformance import command_for

        return super().find(ctx, name) or command_for(name)


@click.group("check", cls=_Checks, lazy=COMMANDS, short_help="hold an environment to its contract")
def command() -> None:
    """Hold an environment to the contract, or to what its original program recorded.

    NAME or package.module:attribute runs the conformance kit on any environment; the commands below
    compare with references, where they are given files, and run the kit where they are not.

    Each check ends with one line of figures and exits with 1 under its bar.
    """
