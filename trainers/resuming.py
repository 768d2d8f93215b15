"""Going on with an interrupted training: where its states lie, and whether they are this training's.

The trainer saves a state every so many steps into `<out>.state`: weights, optimizer, schedule, random states
and its place in the data. A state counts once a mark was written into it, after all else of it was on the
disk, so a kill at any moment leaves whole states alone. A training that goes on from one takes the steps that
the unbroken one would have taken.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.checkpoint import content_hash
from rro_sdk.errors import ConfigError
from rro_sdk.fingerprint import difference, model_fingerprints
from trainers.processes import count, place
from trainers.settings import TrainSettings

__all__ = [
    "KEPT",
    "begin_or_go_on",
    "forget_torn",
    "is_ours",
    "last_state",
    "mark",
    "refuse_foreign",
    "refuse_unfinished",
    "state_folder",
    "whole_states",
]

KEPT = 2
"""States kept: one may be torn by a kill while it is written, the one before it is whole."""

_IDENTITY = "training.json"
_OURS = (_IDENTITY, f".{_IDENTITY}", "checkpoint-", "README.md")
"""What stands in the folder, the trainer's own page among it, also when a kill came while it was removed."""

_MARK = "whole"
_FREE = (
    "out",
    "data",
    "model",
    "reference",
    "sampled_with",
    "resume",
    "save_every",
    "tensorboard",
    "threads",
    "device",
)
"""Settings that do not decide the weights, or whose content is compared in place of their path."""


def state_folder(out: Path) -> Path:
    """Where the states of the training that makes `out` lie."""
    return out.with_name(f"{out.name}.state")


def refuse_unfinished(settings: TrainSettings) -> None:
    """Raise if states of an interrupted training are there and nobody asked to go on.

    Raises:
        ConfigError: names the folder and what to do.
    """
    folder = state_folder(settings.out.absolute())
    if not settings.resume and last_state(folder) is not None:
        raise ConfigError(f"{folder} holds an interrupted training: go on with --resume, or remove it")


def refuse_foreign(settings: TrainSettings) -> None:
    """Raise if no training made the folder of states, which ends with the training.

    Raises:
        ConfigError: names the folder and what to do.
    """
    folder = state_folder(settings.out.absolute())
    if folder.exists() and not is_ours(folder):
        raise ConfigError(f"{folder} would hold states, and holds something else: move it, or change --out")


def is_ours(folder: Path) -> bool:
    """Whether a training made this folder of states, or a kill left one that was about to."""
    if not folder.is_dir():
        return False
    names = [path.name for path in folder.iterdir()]
    return _IDENTITY in names or all(each.startswith(_OURS) for each in names)


def forget_torn(settings: TrainSettings) -> None:
    """Remove what a training left that ended before it had a whole state. For the holder of the log alone."""
    folder = state_folder(settings.out.absolute())
    if last_state(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)


def begin_or_go_on(settings: TrainSettings, data_sha256: str) -> Path | None:
    """Make the folder of states, or find the last state in it.

    Returns:
        The state to go on from; None: there is none, so the training begins.

    Raises:
        ConfigError: the states are another training's; says in what.
    """
    folder = state_folder(settings.out)
    now = _identity(settings, data_sha256)
    path = folder / _IDENTITY
    if path.is_file():
        try:
            before = msgspec.json.decode(path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: remove {folder} and train again") from error
        if isinstance(before, dict) and "tokenizer" not in before:
            del now["tokenizer"]  # an earlier version did not write it
        if (found := difference(before, msgspec.to_builtins(now))) is not None:
            raise ConfigError(f"{folder} is of another training ({found}): give its settings, or remove it")
        _remove_torn(folder)
        return last_state(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}") from error
    write_lines(path, [msgspec.json.encode(now)])
    return None


def last_state(folder: Path) -> Path | None:
    """The whole state of the highest step."""
    states = whole_states(folder)
    return states[max(states)] if states else None


def whole_states(folder: Path) -> dict[int, Path]:
    """The whole states by their step."""
    return {
        int(number): state
        for state in folder.glob("checkpoint-*")
        if (number := state.name.partition("-")[2]).isdigit() and (state / _MARK).is_file()
    }


def _remove_torn(folder: Path) -> None:
    """Remove states without their mark.

    The trainer keeps those of the highest steps, so one of these could stay in a whole one's place.
    """
    if place() == 0:
        for state in set(folder.glob("checkpoint-[0-9]*")) - set(whole_states(folder).values()):
            shutil.rmtree(state, ignore_errors=True)


def mark(state: Path) -> None:
    """Say that a state is whole; the caller has seen to it that it is on the disk."""
    write_lines(state / _MARK, [])


def _identity(settings: TrainSettings, data_sha256: str) -> dict[str, Any]:
    reference = settings.reference_model
    return {
        "method": settings.method,
        "data_sha256": data_sha256,
        "model_sha256": content_hash(settings.model),
        "tokenizer": model_fingerprints(str(settings.model)).get("tokenizer"),
        "reference_sha256": None if reference is None else content_hash(reference),
        "processes": count(),  # each takes a batch of its own, so they decide a step's size
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(settings).items()
            if name not in _FREE
        },
    }
