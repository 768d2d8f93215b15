"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rro_sdk.errors import ConfigError


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines to a temporary neighbour, flush it to disk, rename it into place.

    The neighbour is in the same folder because a rename is atomic only within one file system.

    Returns:
        The number of lines.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    try:
        with temporary.open("wb") as file:
            for line in lines:
                file.write(line)
                file.write(b"\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def refuse_taken(out: Path) -> None:
    """Raise unless a folder can be renamed to `out`: nothing is there, or an empty folder.

    Raises:
        ConfigError: it is a file, a folder that is not empty, a link or a mount point.
    """
    if out.is_symlink() or os.path.ismount(out):
        raise ConfigError(
            f"{out} is a link or a mount point, which a finished folder cannot take the place of: give a"
            " folder inside of it as --out"
        )
    if out.is_dir():
        if any(out.iterdir()):
            raise ConfigError(f"{out} is not empty: remove it or choose another --out")
    elif out.exists():
        raise ConfigError(f"{out} is not a folder: choose another --out")


def sync_folder(folder: Path) -> None:
    """Make renames in the folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
