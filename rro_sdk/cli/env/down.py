"""`rro env down`: stop what `rro env up` started."""

from __future__ import annotations

import click


@click.command("down", short_help="stop what `up` started")
@click.argument("what", type=click.Choice(["mariadb"]))
def command(what: str) -> None:
    """Stop MariaDB; its data stay for the next start."""
    from rro_sdk.envs.intercode_sql.mariadb_server import down

    click.echo("MariaDB has ended" if down() else "no MariaDB ran here")
