"""Whether what a training writes fits on the disk: asked before it begins, since it ends hours later."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from rro_sdk.checkpoint import Checkpoint
from rro_sdk.errors import ConfigError
from trainers.resuming import KEPT, state_folder, whole_states
from trainers.settings import TrainSettings

__all__ = [
    "bytes_needed",
    "found_full",
    "no_room",
    "refuse_full_disk",
    "refuse_less_than",
    "weights_bytes",
]

_BYTES = {"float32": 4, "bfloat16": 2}
_STATE_BYTES = 4 * 3
"""A trained number in a state: its float32 weight and Adam's two moments."""
_BESIDE = 64 << 20
"""Tokenizer, scores of the reference, log and metrics, generously."""
_FULL = 1 << 20
"""With less than this free nothing can be written that is worth writing."""


def weights_bytes(settings: TrainSettings, model: Checkpoint) -> int:
    """Bytes of the saved weights."""
    return model.parameters * _BYTES[settings.save_dtype]


def bytes_needed(settings: TrainSettings, model: Checkpoint) -> int:
    """Bytes that the checkpoint, its states and what lies beside them will yet take, at most about."""
    needed = weights_bytes(settings, model) + _BESIDE
    if settings.save_every is not None:
        trained = _adapter(settings.lora_rank, model) if settings.lora else model.parameters
        saved = len(whole_states(state_folder(settings.out.absolute())))
        needed += max(KEPT + 1 - saved, 1) * trained * _STATE_BYTES  # one is written before the oldest goes
    return needed


def refuse_full_disk(settings: TrainSettings, model: Checkpoint) -> None:
    """Raise if there is no room for what the training writes.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    refuse_less_than(
        bytes_needed(settings, model),
        settings.out.absolute().parent,
        "the training",
        "choose another --out, or take --save-dtype bfloat16 or a checkpoint without saved states",
    )


def refuse_less_than(needed: int, folder: Path, what: str, remedy: str) -> None:
    """Raise if a folder, which need not exist yet, has less room than `what` needs.

    Args:
        needed: bytes.
        folder: where they go.
        what: begins the message's second half.
        remedy: what to do beside making room.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"{folder} has {_size(free)} free and {what} needs about {_size(needed)}: make room, {remedy}"
        )


def found_full(error: BaseException, folders: Sequence[Path]) -> bool:
    """Whether a failure to write came of a full disk.

    Not every library raises OSError then: safetensors has a class of its own that quotes the system, and
    torch says nothing of it, so whether there is room now is asked too.

    Args:
        error: what was raised.
        folders: that were written into, and exist.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if f"(os error {errno.ENOSPC})" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return any(shutil.disk_usage(folder).free < _FULL for folder in folders)


def no_room(folder: Path) -> str:
    """What is said of a disk that was full before a checkpoint was whole."""
    return (
        f"the disk of {folder} was full before the checkpoint was whole: make room, or choose another --out"
    )


def _adapter(rank: int, model: Checkpoint) -> int:
    """Numbers of a LoRA adapter on every matrix."""
    shapes = [tensor.shape for tensor in model.tensors.values() if len(tensor.shape) == 2]
    return sum(rank * sum(shape) for shape in shapes if math.prod(shape))


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
