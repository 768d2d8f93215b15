"""`rro data list`: what data sets there are, which of them are here, and what works without the others."""

from __future__ import annotations

import click

from rro_sdk.cli._options import json_option


@click.command("list", short_help="known data sets, what is here, what works without")
@json_option
def command(as_json: bool) -> None:
    """List the known data sets. Looks at names and sizes; `rro data check` looks into the files."""
    import msgspec

    from rro_sdk.data.store import home, inventory
    from rro_sdk.envs._data import data_folder
    from rro_sdk.errors import ConfigError

    found = inventory()
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    try:
        looked = str(data_folder() or "no data folder: there is none")
    except ConfigError as error:
        looked = f"no data folder: {error}"
    click.echo(f"environments look into {looked}")
    click.echo(f"rro data get puts things into {home()}")
    for each in found:
        size = f"{each.size / 1e6:,.1f} MB" if each.size else "a wheel"
        share = f" ({100 * each.held / each.size:.0f} %)" if each.state == "partial" else ""
        click.echo(f"\n{each.name}: {each.state}{share}, {size}")
        click.echo(f"  {each.what}")
        click.echo(f"  licence: {each.licence}")
        click.echo(f"  use: {each.use}")
        if each.state != "there":
            click.echo(f"  without it: {each.without}")
