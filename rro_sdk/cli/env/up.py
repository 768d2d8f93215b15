"""`rro env up`: start what an environment runs on."""

from __future__ import annotations

import click

from rro_sdk.cli._options import json_option


@click.command("up", short_help="start a server that an environment runs on")
@click.argument("what", type=click.Choice(["mariadb"]))
@json_option
def command(what: str, as_json: bool) -> None:
    """Start MariaDB on loopback with InterCode-SQL's databases; it runs until `rro env down mariadb`.

    Needs the Debian package mariadb-server-core and PyMySQL: pip install 'rro-sdk[mariadb]'.
    """
    import msgspec

    from rro_sdk.envs.intercode_sql.mariadb_server import default_folder, up

    server = up()
    if as_json:
        found = {"url": server.url, "socket": server.address.socket, "pid": server.pid}
        click.echo(msgspec.json.encode(found).decode())
        return
    click.echo(f"socket: {server.address.socket}")
    click.echo(f"the password is in {default_folder() / 'password'}")
    click.echo(f"MariaDB runs at {server.url} (process {server.pid})")
