"""`rro serve`: start SGLang servers and keep them."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec

from rro_sdk.cli._options import device_option
from rro_sdk.errors import ConfigError, ServerStartError

if TYPE_CHECKING:
    from servers.listing import Listing
    from servers.sglang import RunningServer

WATCH_S = 1.0
"""How often the servers are looked at once they run."""


@click.command("serve", short_help="start SGLang servers and keep them")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Checkpoint folder.")
@click.option("--servers", "count", type=int, default=1, show_default=True, help="How many.")
@device_option
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of the weights as computed with; auto is the checkpoint's on CPU, SGLang's choice on a GPU.",
)
@click.option("--host", help="Address to listen on; 127.0.0.1 by default, on a cluster each node's own.")
@click.option(
    "--port", type=int, help="Of the first server; the next take those after it. Free ones by default."
)
@click.option(
    "--api-key", envvar="RRO_API_KEY", help="Asked of clients; RRO_API_KEY keeps it off the command line."
)
@click.option(
    "--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="Asked for control calls (update, pause, ...)."
)
@click.option("--served-name", default="", help="Name of the model for clients; the folder's by default.")
@click.option("--tp", type=int, default=1, show_default=True, help="Tensor-parallel ranks of each server.")
@click.option("--max-total-tokens", type=int, help="Size of the KV cache.")
@click.option("--max-running-requests", type=int, help="Requests decoded at once.")
@click.option(
    "--python", type=click.Path(path_type=Path), help="SGLang's interpreter; also RRO_SGLANG_PYTHON."
)
@click.option("--log-dir", type=click.Path(path_type=Path), help="Folder for the servers' logs.")
@click.option(
    "--startup-timeout", "startup_timeout_s", type=float, default=300.0, show_default=True, help="Seconds."
)
@click.option(
    "--urls",
    "urls_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Kept as the list of servers that serve now; rro sample -s @FILE follows it.",
)
@click.option(
    "--engine",
    type=click.Choice(["process", "ray"]),
    default="process",
    show_default=True,
    help="ray starts them on the nodes of a cluster, and makes anew what dies; see docs/scale.md.",
)
@click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster; by default one in this process.")
@click.option("--gpus-per-server", type=int, help="On a cluster; by default --tp, and 0 with --device cpu.")
@click.option("--nodes-per-server", type=int, help="On a cluster; more than 1 is --tp across nodes.")
@click.option(
    "--stage",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="On a cluster: copy the checkpoint to this folder on each node first, where they share no disk.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready.")
@click.argument("extra_args", nargs=-1)
def command(
    count: int,
    host: str | None,
    urls_file: Path | None,
    engine: str,
    address: str | None,
    gpus_per_server: int | None,
    nodes_per_server: int | None,
    stage: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Start servers, print their URLs when all have generated a token, and keep them until Ctrl-C or SIGTERM.

    Further flags of SGLang go after --, as they stand. No server outlives this command, even if it is killed.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, and every server is gone; 1 a server ended by itself, on a
    cluster the last that could be made anew; 2 bad input, or not ready in time; 130 or 143 interrupted before
    the servers were ready.
    """
    from servers.listing import Listing

    listing = None
    with ExitStack() as stack:
        if engine == "process":
            only = {
                "--address": address,
                "--gpus-per-server": gpus_per_server,
                "--nodes-per-server": nodes_per_server,
                "--stage": stage,
            }
            if odd := [name for name, value in only.items() if value is not None]:
                raise ConfigError(f"{odd[0]} is for --engine ray alone; give that too, or leave it out")
            servers = _on_this_machine(count, host, settings)
        else:
            from rro_sdk.cluster.joining import joined

            servers = _on_cluster(count, host, stage, gpus_per_server, nodes_per_server, settings)
            stack.enter_context(joined(address))
        if urls_file is not None:
            listing = stack.enter_context(closing(Listing(urls_file)))
        click.echo(f"starting {count} server(s) for {settings['model']} ...", err=True)
        _until_told_to_stop(servers, listing, as_json)


class Servers(Protocol):
    """What is started and kept: `SGLangServers` or `RayServers`."""

    @property
    def servers(self) -> tuple[RunningServer, ...]: ...

    def start(self) -> None: ...

    def cancel(self) -> None: ...

    def check(self) -> None: ...

    def stop(self) -> None: ...


def _on_this_machine(count: int, host: str | None, settings: dict[str, Any]) -> Servers:
    from servers.sglang import ServerSettings, SGLangServers

    made = ServerSettings(**(settings if host is None else {**settings, "host": host}))
    if made.is_public:
        click.echo(f"warning: listening on {made.host}, which other machines can reach", err=True)
    return SGLangServers(made, count=count)


def _on_cluster(
    count: int,
    host: str | None,
    stage: Path | None,
    gpus: int | None,
    nodes: int | None,
    settings: dict[str, Any],
) -> Servers:
    from servers.cluster import Layout, RayServers
    from servers.sglang import ServerSettings

    made = ServerSettings(**settings)
    if gpus is None:
        gpus = 0 if made.device == "cpu" else made.tp
    layout = Layout(servers=count, gpus=gpus, nodes=1 if nodes is None else nodes, tp=made.tp)
    made = replace(made, device="cuda" if gpus else "cpu")
    return RayServers(
        made,
        layout,
        host=host,
        stage=None if stage is None else stage.absolute(),
        note=lambda line: click.echo(line, err=True),
    )


def _until_told_to_stop(servers: Servers, listing: Listing | None, as_json: bool) -> None:
    asked: list[int] = []
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        stopped.set()
        servers.cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _serve(servers, listing, stopped, as_json)
    except ServerStartError:
        if asked:
            click.echo("interrupted before the servers were ready; none was left running", err=True)
            sys.exit(128 + asked[0])
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(servers: Servers, listing: Listing | None, stopped: threading.Event, as_json: bool) -> None:
    servers.start()
    try:
        if as_json:
            click.echo(msgspec.json.encode({"servers": _described(servers)}).decode())
        else:
            for server in servers.servers:
                click.echo(server.url)
        while True:
            if listing is not None:
                _keep(listing, servers)
            if stopped.wait(WATCH_S):
                break
            servers.check()
    finally:
        servers.stop()
    click.echo("stopped", err=True)


def _keep(listing: Listing, servers: Servers) -> None:
    try:
        listing.write(_described(servers))
    except OSError as error:  # the one before is still there, and this is tried again in a second
        click.echo(f"warning: cannot write the list of servers: {error.strerror}", err=True)


def _described(servers: Servers) -> list[dict[str, Any]]:
    return [
        {"url": each.url, "pid": each.pid, "log": str(each.log), "ready_s": round(each.ready_s, 1)}
        for each in servers.servers
    ]
