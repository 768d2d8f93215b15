"""`rro reload`: bring running servers to a checkpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import click
import msgspec

from rro_sdk.cli._options import json_option
from rro_sdk.errors import ConfigError


@click.command("reload", short_help="bring running servers to a checkpoint")
@click.option(
    "--servers",
    "-s",
    multiple=True,
    required=True,
    metavar="URL",
    help="A server or gateway; repeat for more. @FILE for those that rro serve --urls FILE lists.",
)
@click.option("--checkpoint", required=True, type=click.Path(path_type=Path), help="Folder with safetensors.")
@click.option(
    "--stage",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Copy it to this folder on the nodes of the Ray cluster at --address first, and load that.",
)
@click.option("--address", metavar="HOST:PORT", help="Of the Ray cluster, for --stage.")
@click.option("--weight-version", help="Name of the new version; by default from the checkpoint's hash.")
@click.option(
    "--mode",
    type=click.Choice(["retract", "drain", "abort"]),
    default="retract",
    show_default=True,
    help="What happens to requests in flight: they go on with the new weights, finish first, or are cut.",
)
@click.option(
    "--engine",
    type=click.Choice(["sglang", "vllm"]),
    default="sglang",
    show_default=True,
    help="What the servers run.",
)
@click.option(
    "--api-key", envvar="RRO_API_KEY", help="Bearer token; RRO_API_KEY keeps it off the command line."
)
@click.option("--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="Bearer token for control calls.")
@json_option
def command(
    servers: tuple[str, ...],
    checkpoint: Path,
    stage: Path | None,
    address: str | None,
    weight_version: str | None,
    mode: Literal["retract", "drain", "abort"],
    engine: Literal["sglang", "vllm"],
    api_key: str | None,
    admin_api_key: str | None,
    as_json: bool,
) -> None:
    """Check a checkpoint against what the servers serve, load it into each, and read its version back.

    Exits 2 where the checkpoint does not fit (no server is touched), 1 where a server could not be
    brought to it (that server is named and must be left out).
    """
    from rro_sdk.inference.weights import ReloadSettings, reload_weights

    if stage is not None:
        checkpoint = _copied(checkpoint, stage, address)
    elif address is not None:
        raise ConfigError("--address is for --stage alone; give that too, or leave it out")
    settings = ReloadSettings(mode=mode, engine=engine, api_key=api_key, admin_api_key=admin_api_key)
    report = asyncio.run(reload_weights(servers, checkpoint, settings, weight_version=weight_version))
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        for url in report.reloaded:
            click.echo(f"{url} serves weight version {report.weight_version}")
    report.raise_for_failures()


def _copied(checkpoint: Path, stage: Path, address: str | None) -> Path:
    from rro_sdk.cluster.joining import joined
    from servers.cluster import stage_checkpoint

    if address is None:
        raise ConfigError("--stage needs --address, the Ray cluster whose nodes the checkpoint is copied to")
    with joined(address):
        copy = stage_checkpoint(checkpoint, stage.absolute())
    click.echo(f"copied to {copy} on every node", err=True)
    return copy
