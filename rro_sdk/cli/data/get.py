"""`rro data get`: fetch known data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rro_sdk.cli._options import json_option, quiet_option

if TYPE_CHECKING:
    from rich.progress import TaskID

    from rro_sdk.data.sources import File


@click.command("get", short_help="fetch known data sets")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Data folder. [default: RRO_DATA, else the cache]",
)
@click.option("--mirror", metavar="URL", help="Take the files from URL/PATH, PATH as in a data folder.")
@quiet_option
@json_option
def command(
    names: tuple[str, ...], folder: Path | None, mirror: str | None, quiet: bool, as_json: bool
) -> None:
    """Fetch data sets; `rro data list` has their names. What was cut off is gone on with.

    A file appears when all of it is there and its sha256 is right, and not before.
    """
    from rro_sdk.data.sources import source
    from rro_sdk.data.store import get, home
    from rro_sdk.envs._data import data_folder
    from rro_sdk.errors import ConfigError

    wanted = [source(name) for name in names]
    fetched = {}
    for each in wanted:
        bar = _Bar(quiet=quiet)
        try:
            paths = get(each, folder, mirror=mirror, told=bar.told)
        except ConfigError as error:
            raise ConfigError(f"{each.name} is missing: {error}. Without it: {each.without}") from error
        finally:
            bar.close()
        fetched[each.name] = {"files": [str(path) for path in paths], "use": each.use}
        if not as_json:
            for path in paths:
                click.echo(str(path))
            click.echo(f"{each.name}: {each.use}")
    if as_json:
        click.echo(json.dumps(fetched))
    place = folder or home()
    if any(not each.wheel for each in wanted) and (looked := data_folder()) != place:
        click.echo(f"environments look into {looked}: set RRO_DATA={place} to have them look there", err=True)


class _Bar:
    """A line of progress on a terminal's stderr."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        console = Console(stderr=True)
        self._progress: Progress | None = None
        self._rows: dict[str, TaskID] = {}
        if console.is_terminal and not quiet:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                console=console,
            )
            self._progress.start()

    def told(self, file: File, held: int) -> None:
        if self._progress is None:
            return
        if file.path not in self._rows:
            self._rows[file.path] = self._progress.add_task(file.path, total=file.size)
        self._progress.update(self._rows[file.path], completed=held)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
