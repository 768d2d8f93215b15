"""`rro data check`: whether data files are what they should be."""

from __future__ import annotations

from pathlib import Path

import click

from rro_sdk.cli._options import json_option


@click.command("check", short_help="whether data files are what they should be")
@click.argument("places", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE|FOLDER]...")
@json_option
def command(places: tuple[Path, ...], as_json: bool) -> None:
    """Check digests where they are known, and read every row elsewhere. [default: the data folder]

    Names file, line and field of what is wrong, and exits with 2 where anything is.
    """
    import msgspec

    from rro_sdk.data.checking import check
    from rro_sdk.envs._data import data_folder
    from rro_sdk.errors import ConfigError

    if not places:
        folder = data_folder()
        if folder is None:
            raise ConfigError("there is no data folder to check: name files, or see `rro data list`")
        places = (folder,)
    found = []
    for place in places:
        for each in check(place):
            found.append(each)
            if not as_json:
                click.echo(
                    f"{each.path}: {each.said}" if each.problem is None else f"problem: {each.problem}"
                )
    wrong = sum(each.problem is not None for each in found)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        click.echo(f"{len(found)} files checked, {wrong} problems")
    if wrong:
        raise SystemExit(2)
