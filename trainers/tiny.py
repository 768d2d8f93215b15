"""A policy of a few million parameters, trained from scratch on expert turns.

For experiments with many seeds on a CPU. Such a model knows the databases that it was trained on and no
other, so its tasks are split by question. It is the SDK's own SFT from random weights: on the same rows
that is as fast a step as a bare torch loop, and its loss falls sooner.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rro_sdk.errors import ConfigError, TrainingError
from trainers.events import Event, TrainResult
from trainers.process import train_sft
from trainers.rows import read_rows
from trainers.settings import SFTSettings

__all__ = ["Made", "TinySettings", "make_tiny", "refuse_taken"]

START_LIMIT_S = 600
"""Writing the start takes 10 s, most of it to import torch; this is for a much slower machine."""

TAIL_CHARACTERS = 2000


@dataclass(frozen=True, kw_only=True)
class TinySettings:
    """What is trained.

    Attributes:
        data: SFT rows (`trainers.rows`): the expert turns of training tasks.
        out: new checkpoint folder.
        parameters: about how many, in millions: 0.05 to 15.
        vocabulary: tokens, the 256 bytes among them.
        epochs: passes over the episodes.
        batch_size: episodes a step.
        lr: peak learning rate.
        warmup: steps over which the rate rises to it.
        max_length: tokens of an episode; a longer one is an error.
        seed: of the weights and the order.
        threads: CPU threads. None: every core that this process may use.
    """

    data: Path
    out: Path
    parameters: float = 2.5
    vocabulary: int = 2048
    epochs: int = 5
    batch_size: int = 16
    lr: float = 2e-3
    warmup: int = 50
    max_length: int = 2048
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("data", "out"):
            object.__setattr__(self, name, Path(getattr(self, name)))
        if not 0.05 <= self.parameters <= 15:
            raise ConfigError(f"parameters is {self.parameters!r}: it must be from 0.05 to 15 million")
        if not 300 <= self.vocabulary <= 65_536:
            raise ConfigError(f"vocabulary is {self.vocabulary!r}: it must be from 300 to 65536")
        self.sft(self.out)

    def sft(self, model: Path) -> SFTSettings:
        """The training, from a start.

        Raises:
            ConfigError: a setting that the two have in common cannot be right.
        """
        return SFTSettings(
            data=self.data,
            model=model,
            out=self.out,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            warmup_steps=self.warmup,
            max_length=self.max_length,
            seed=self.seed,
            threads=self.threads,
        )


@dataclass(frozen=True)
class Made:
    """A tiny policy: what its model is, and how it was trained."""

    parameters: int
    vocabulary: int
    layers: int
    width: int
    training: TrainResult


def make_tiny(
    settings: TinySettings,
    *,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
) -> Made:
    """Train a tokenizer, draw weights and fit them to the rows; the checkpoint appears whole or not at all.

    Args:
        settings: what to make.
        on_event: called with each of the training's events.
        stop: set it from another thread to end the training; `TrainingError` follows.

    Raises:
        ConfigError: a path is wrong or `settings.out` is taken.
        DataError: a row cannot be trained on.
        TrainingError: the training failed or was stopped.
    """
    refuse_taken(settings.out)
    read_rows(settings.data, "sft")
    try:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{settings.out.name}.start-", dir=settings.out.parent))
    except OSError as error:
        raise ConfigError(f"cannot write beside {settings.out}: {error.strerror}") from error
    try:
        start = _write_start(settings, work / "start")
        result = train_sft(settings.sft(work / "start"), on_event=on_event, stop=stop)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Made(**start, training=result)


def refuse_taken(out: Path) -> None:
    """Raises ConfigError where something lies at `out` already."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ConfigError(f"{out} exists already and is not an empty folder: choose another --out")


def _write_start(settings: TinySettings, folder: Path) -> dict[str, int]:
    """The tokenizer and random weights, written by a child process, so that torch never loads here."""
    orders: dict[str, Any] = {
        "data": str(settings.data.absolute()),
        "folder": str(folder.absolute()),
        "parameters": settings.parameters,
        "vocabulary": settings.vocabulary,
        "positions": settings.max_length,
        "seed": settings.seed,
    }
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    # -P: what lies in the current folder is not to be imported.
    argv = [sys.executable, "-P", "-m", "trainers.tiny_start", json.dumps(orders)]
    try:
        done = subprocess.run(
            argv,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=START_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrainingError(
            f"the start of {settings.out} was not written within {START_LIMIT_S} s"
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip()[-TAIL_CHARACTERS:]
        raise TrainingError(f"the start of {settings.out} was not written (exit {done.returncode}): {said}")
    start: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return start
