"""`rro serve`: start SGLang servers and keep them."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import click
import msgspec

from rro_sdk.cli._options import device_option
from rro_sdk.errors import ServerStartError

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
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when ready.")
@click.argument("extra_args", nargs=-1)
def command(count: int, as_json: bool, **settings: Any) -> None:
    """Start servers, print their URLs when all have generated a token, and keep them until Ctrl-C or SIGTERM.

    Further flags of SGLang go after --, as they stand. No server outlives this command, even if it is killed.

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, and every server is gone; 1 a server ended by itself;
    2 bad input, or not ready in time; 130 or 143 interrupted before the servers were ready.
    """
    from servers.sglang import ServerSettings, SGLangServers

    servers = SGLangServers(ServerSettings(**settings), count=count)
    asked: list[int] = []
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        stopped.set()
        servers.cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _serve(servers, stopped, as_json)
    except ServerStartError:
        if asked:
            click.echo("interrupted before the servers were ready; none was left running", err=True)
            sys.exit(128 + asked[0])
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(servers: Any, stopped: threading.Event, as_json: bool) -> None:
    if servers.settings.is_public:
        click.echo(f"warning: listening on {servers.settings.host}, which other machines can reach", err=True)
    click.echo(f"starting {servers.count} server(s) for {servers.settings.model} ...", err=True)
    servers.start()
    try:
        if as_json:
            found = [
                {"url": s.url, "pid": s.pid, "log": str(s.log), "ready_s": round(s.ready_s, 1)}
                for s in servers.servers
            ]
            click.echo(msgspec.json.encode({"servers": found}).decode())
        else:
            for server in servers.servers:
                click.echo(server.url)
        while not stopped.wait(WATCH_S):
            servers.check()
    finally:
        servers.stop()
    click.echo("stopped", err=True)
