"""`rro push`: a dataset or a checkpoint to a hub."""

from __future__ import annotations

from pathlib import Path

import click

from rro_sdk.cli._options import json_option


@click.command("push", short_help="a dataset or a checkpoint to a hub, card and all")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--private/--public", default=True, show_default=True, help="Who sees it, where it is new.")
@click.option("--message", default="Pushed by rro-sdk", show_default=True, help="Of the commit.")
@json_option
def command(folder: Path, repo: str, private: bool, message: str, as_json: bool) -> None:
    """Send FOLDER, as `rro export` or `rro train` wrote it, to a hub that speaks Hugging Face's protocol.

    HF_ENDPOINT says which hub, HF_TOKEN or `hf auth login` as whom. A checkpoint without a card gets one from
    its manifest, which itself is not sent.
    """
    import msgspec

    from rro_sdk.hub import push_to_hub

    pushed = push_to_hub(folder, repo, private=private, message=message)
    if as_json:
        click.echo(msgspec.json.encode(pushed).decode())
        return
    click.echo(f"{pushed.url}: {len(pushed.files)} files, commit {pushed.commit}")
