"""Who writes a checkpoint, and what a kill of parent and child together left beside it.

A training holds the lock on its log from before it makes its hidden folder until its checkpoint is in place,
so whatever lies there while somebody else holds it belongs to nobody.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import IO

from rro_sdk.errors import ConfigError
from trainers.resuming import is_ours, state_folder
from trainers.saving import MANIFEST

__all__ = ["forget_finished", "hidden", "hold_log", "log_of", "log_of_node", "remove_partials"]


def log_of(out: Path, machine: int = 0) -> Path:
    """Where the log of a checkpoint lies, of one of several machines that train it."""
    return log_of_node(out.with_name(f"{out.name}.log"), machine)


def log_of_node(log: Path, rank: int) -> Path:
    """The first node's is the training's; each other has its own, for appends of two machines tear."""
    return log if rank == 0 else log.with_name(f"{log.name}.{rank}")


def hold_log(out: Path, machine: int = 0) -> IO[bytes]:
    """The log, held: by this process and the child that inherits it, as long as either has it open.

    Raises:
        ConfigError: another training holds it, or it cannot be written.
    """
    log = log_of(out, machine)
    try:
        stream = log.open("ab")
    except OSError as error:
        raise ConfigError(f"cannot write {log}: {error.strerror}") from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise ConfigError(
            f"{out} is being trained into by another process: wait for it, or choose another --out"
        ) from None
    except OSError as error:
        stream.close()
        raise ConfigError(f"cannot write {log}: {error.strerror}") from error
    return stream


def hidden(out: Path) -> str:
    """What the names of hidden folders begin with in which a checkpoint is made."""
    return f".{out.name}.partial-"


def remove_partials(out: Path) -> None:
    """Remove hidden folders that a kill left. For the holder of the log alone, before it makes its own."""
    for path in out.parent.iterdir():
        if path.name.startswith(hidden(out)):
            shutil.rmtree(path, ignore_errors=True)


def forget_finished(out: Path) -> None:
    """Remove the states of a training that was killed between putting its checkpoint in place and this.

    Raises:
        ConfigError: another process is at it, or the log cannot be written.
    """
    folder = state_folder(out)
    if is_ours(folder) and (out / MANIFEST).is_file():
        with hold_log(out):
            shutil.rmtree(folder, ignore_errors=True)
