"""`rro quickstart`: the whole loop, small, on this machine."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Literal

import click

from rro_sdk.cli._options import device_option, json_option, seed_option
from rro_sdk.collector import fewer_collections
from rro_sdk.errors import ConfigError

SMOLLM2 = Path("models/smollm2")

MARK = ".rro-quickstart"
"""Says that a folder was made by this command, so that --force removes nothing else."""


@click.command("quickstart", short_help="the whole loop, small")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/quickstart"),
    show_default=True,
    help="Folder of the run.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="A local checkpoint in place of SmolLM2, which is fetched.",
)
@device_option
@seed_option
@click.option("--force", is_flag=True, help="Remove an earlier quickstart run that stands in --out.")
@json_option
def command(
    out: Path,
    model: Path | None,
    device: Literal["auto", "cpu", "cuda"],
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Serve a real model, evaluate it, SFT, explore under the rising rule, DPO, reload, evaluate again.

    Leaves OUT/pairs.jsonl, OUT/summary.json, the run's journal and both checkpoints.
    """
    import msgspec

    from rro_sdk.cli._progress import shown
    from rro_sdk.cli.model import make_smollm2
    from rro_sdk.journal import refuse_existing
    from servers.settings import check_checkpoint, find_python
    from servers.sglang import ServerSettings, SGLangServers
    from trainers.quickstart import QuickstartSettings, format_quickstart, run_quickstart

    again = force and (out / MARK).is_file()
    if not again:
        refuse_existing(out)
    began = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - began:4.0f} s] {text}", err=True)

    async def run(folder: Path) -> None:
        settings = ServerSettings(model=folder, device=device, log_dir=out / "logs")
        say(f"server: starting SGLang with {folder}")
        async with SGLangServers(settings) as servers:
            (server,) = servers.urls
            say(f"server: ready at {server}")
            summary = await run_quickstart(QuickstartSettings(out, folder, seed=seed), server, say, shown)
        click.echo(msgspec.json.encode(summary).decode() if as_json else format_quickstart(summary))

    folder = model or SMOLLM2
    if model is not None and not folder.is_dir():
        raise ConfigError(f"{folder} is not a checkpoint folder; give one, or leave --model out")
    if not folder.exists():
        say(f"model: making {folder} (once)")
        make_smollm2(folder)
    find_python(None)
    check_checkpoint(folder)
    if again:  # last, so that nothing is lost where nothing can begin
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    with fewer_collections():
        asyncio.run(run(folder))
