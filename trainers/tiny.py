"""A policy of a few million parameters, trained from scratch on expert turns, in a process of its own.

For experiments with many seeds on a CPU. Such a model knows the databases that it was trained on and no
other, so its tasks are split by question.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rro_sdk.atomic import refuse_taken
from rro_sdk.errors import ConfigError, DataError, TrainingError
from trainers.listening import lines
from trainers.rows import read_rows

__all__ = ["Made", "Progress", "TinySettings", "train_tiny"]

SILENCE_LIMIT_S = 1800.0
"""A child that says nothing for so long is taken for hung; it speaks every 20 steps."""

_GRACE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class TinySettings:
    """What is trained.

    Attributes:
        data: SFT rows (`trainers.rows`): the expert turns of training tasks.
        out: new checkpoint folder.
        parameters: about how many, in millions.
        vocabulary: tokens, the 256 bytes among them.
        epochs: passes over the episodes; few by default, so that something is left for RRO to learn. 0 leaves
            the weights as they are born, with the tokenizer that SFT would have.
        batch_size: episodes a step.
        lr: peak learning rate; it rises for `warmup` steps and falls in a straight line to a fiftieth.
        warmup: steps.
        max_length: tokens of an episode; a longer one is an error.
        seed: of weights and order.
        threads: CPU threads. None: every core that this process may use.
        copying: the model is born able to repeat words of a long prompt (`trainers.tiny_copying`); for worlds
            of long pages, and with a lower `lr`, such as 1e-3.
    """

    data: Path
    out: Path
    parameters: float = 2.5
    vocabulary: int = 2048
    epochs: int = 4
    batch_size: int = 16
    lr: float = 2e-3
    warmup: int = 50
    max_length: int = 2048
    seed: int = 0
    threads: int | None = None
    copying: bool = False

    def __post_init__(self) -> None:
        for name in ("data", "out"):
            object.__setattr__(self, name, Path(getattr(self, name)))
        if not isinstance(self.copying, bool):
            raise ConfigError(f"copying is {self.copying!r}: it must be true or false")
        for name, low, high in (
            ("parameters", 0.05, 15),
            ("vocabulary", 300, 65_536),
            ("epochs", 0, 1_000),
            ("batch_size", 1, 1_024),
            ("lr", 1e-6, 1),
            ("warmup", 0, 1_000_000),
            ("max_length", 16, 65_536),
            ("seed", 0, 2**32 - 1),
            ("threads", 1, 1_024),
        ):
            value = getattr(self, name)
            if value is None and name == "threads":
                continue
            whole = name not in ("parameters", "lr")
            fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not fits or not low <= value <= high:  # a NaN is not in any range
                kind = "a whole number from" if whole else "from"
                raise ConfigError(f"{name} is {value!r}: it must be {kind} {low:g} to {high:g}")


@dataclass(frozen=True)
class Made:
    """What was written."""

    folder: str
    parameters: int
    vocabulary: int
    layers: int
    width: int
    episodes: int
    tokens_an_episode: float
    steps: int
    tokens: int
    seconds: float
    first_loss: float | None
    final_loss: float | None


@dataclass(frozen=True)
class Progress:
    """Where a training stands; `loss` is the mean of the last steps."""

    step: int
    steps: int
    loss: float
    tokens_per_second: int


def train_tiny(
    settings: TinySettings,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    silence_limit_s: float = SILENCE_LIMIT_S,
) -> Made:
    """Train in a child process and put the checkpoint at `settings.out`, whole or not at all.

    Args:
        settings: what to train.
        on_progress: called as it goes.
        stop: set it from another thread to end the training; `TrainingError` follows.
        silence_limit_s: seconds without progress after which the child is ended.

    Raises:
        ConfigError: `settings.out` is taken.
        DataError: the rows cannot be read or trained on.
        TrainingError: the training failed, was stopped, or fell silent.
    """
    refuse_taken(settings.out)
    read_rows(settings.data, "sft")
    given = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()
    }
    argv = [sys.executable, "-P", "-m", "trainers.tiny_model", json.dumps(given)]
    last: dict[str, Any] = {}
    # Its standard input is held open: the child ends when this process is gone.
    with subprocess.Popen(argv, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            stopped = f"{settings.out} was not made: it was stopped"
            silent = f"{settings.out} was not made: the trainer said nothing for {silence_limit_s:g} s"
            for line in lines(child.stdout, stop, silence_limit_s, stopped=stopped, silent=silent):
                last = json.loads(line)
                if "step" in last and on_progress is not None:
                    on_progress(Progress(**last))
            status = child.wait(_GRACE_S)
        except BaseException:
            _end(child)
            raise
    if status == 0 and "made" in last:
        return Made(**last["made"])
    if last.get("bad_input"):
        raise DataError(last["error"])
    reason = last.get("error") or f"its process ended with status {status}"
    raise TrainingError(f"{settings.out} was not made: {reason}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask, then insist: closing its input makes it clean up and go."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _environment() -> dict[str, str]:
    return {
        "OMP_WAIT_POLICY": "passive",  # see trainers.process
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TQDM_DISABLE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
