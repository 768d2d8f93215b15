"""`rro view`: the run page, served on loopback or written as one file."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from rro_sdk.page.source import Runs


@click.command("view", short_help="a run, or two side by side, as a page in the browser")
@click.argument("run_dir", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("other", metavar="[RUN2]", type=click.Path(path_type=Path), required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="A free one by default.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@click.option(
    "--html",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file, serve nothing.",
)
@click.option(
    "--trajectories",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Tasks that can be opened in the file of --html, spread over the run; its table has all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address, or what was written, as JSON.")
def command(
    run_dir: Path,
    other: Path | None,
    port: int,
    opens: bool,
    file: Path | None,
    trajectories: int,
    as_json: bool,
) -> None:
    """Show a run: its numbers, its tasks, each trajectory with its candidates, rollouts, verdicts and pairs.

    Serves on this machine alone until Ctrl-C, also while the run is being sampled (reload to see what is
    new). With RUN2 both runs are shown side by side. The file of --html needs no server and no network.
    """
    from rro_sdk.collector import fewer_collections
    from rro_sdk.page.single_file import write_page
    from rro_sdk.page.source import Runs

    with fewer_collections(), Runs([run_dir] if other is None else [run_dir, other]) as runs:
        if file is None:
            asyncio.run(_serve(runs, port, opens, as_json))
            return
        written = write_page(runs, file, most=trajectories)
        if as_json:
            click.echo(msgspec.json.encode(written).decode())
        else:
            click.echo(
                f"{written.path}: {written.tasks:,} tasks, of which {written.trajectories:,} can be opened;"
                f" {written.bytes / 1e6:.1f} MB"
            )
        if opens:
            webbrowser.open(file.absolute().as_uri())


async def _serve(runs: Runs, port: int, opens: bool, as_json: bool) -> None:
    from rro_sdk.page.server import PageServer, aside

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with PageServer(runs, port) as server:
        # Reading may take a second or two: it begins before the browser asks.
        reading = asyncio.create_task(aside(runs.read))
        click.echo(msgspec.json.encode({"url": server.url}).decode() if as_json else server.url)
        if not as_json:
            click.echo("Ctrl-C stops it", err=True)
        if opens:
            webbrowser.open(server.url)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, reading], return_when=asyncio.FIRST_EXCEPTION)
        if reading.done():
            reading.result()
        await stopping
