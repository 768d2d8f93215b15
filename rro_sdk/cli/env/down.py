"""`rro env down`: stop what `rro env up` started."""

from __future__ import annotations

import json

import click

from rro_sdk.cli._options import json_option


@click.command("down", short_help="stop what `up` started")
@click.argument("what", type=click.Choice(["mariadb"]))
@json_option
def command(what: str, as_json: bool) -> None:
    """Stop MariaDB; its data stay for the next start."""
    from rro_sdk.envs.intercode_sql.mariadb_server import down

    ended = down()
    if as_json:
        click.echo(json.dumps({"ended": ended}))
        return
    click.echo("MariaDB has ended" if ended else "no MariaDB ran here")
