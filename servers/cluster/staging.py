"""A checkpoint on every node's own disk, where no disk is shared.

A copy is a folder named after what is in it, under the same path on every node. It comes in pieces into a
folder beside it, is hashed as it lies on the disk and renamed into place: what is there is whole and right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rro_sdk.errors import CheckpointError

PIECE_BYTES = 8 << 20
"""Small beside a node's object store, large beside what a call costs."""

DIGITS = 12
"""Of the hash that names a copy."""


@dataclass(frozen=True)
class FileSum:
    """Size and SHA-256 (hex) of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a checkpoint, by name; and the name of its copies."""

    name: str
    files: Mapping[str, FileSum]


def manifest_of(folder: Path) -> Manifest:
    """Read every file of a checkpoint once.

    Folders within it are left out: a checkpoint that is served has none that matter.

    Raises:
        CheckpointError: no such folder, no files in it, or one that cannot be read.
    """
    try:
        files = {path.name: _sum_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {folder}: {error.strerror}") from error
    if "config.json" not in files:
        raise CheckpointError(f"{folder} holds no config.json; give the folder of a checkpoint")
    digest = hashlib.sha256()
    for name, found in files.items():
        digest.update(f"{name}\0{found.sha256}\0".encode())
    return Manifest(f"{folder.resolve().name}-{digest.hexdigest()[:DIGITS]}", files)


def pieces_of(folder: Path, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """The files of a checkpoint in pieces, each file's in order; an empty file is one empty piece.

    Raises:
        CheckpointError: one cannot be read.
    """
    for name in manifest.files:
        try:
            with (folder / name).open("rb") as file:
                piece = file.read(PIECE_BYTES)
                yield name, piece
                while piece := file.read(PIECE_BYTES):
                    yield name, piece
        except OSError as error:
            raise CheckpointError(f"cannot read {folder / name}: {error.strerror}") from error


class Receiver:
    """Takes a copy on one node.

    Args:
        where: this node, for people.
        stage: folder for copies.
        manifest: of the checkpoint.
    """

    def __init__(self, where: str, stage: Path, manifest: Manifest) -> None:
        self._where, self._manifest = where, manifest
        self._final = stage / manifest.name
        self._partial: Path | None = None
        self._open: tuple[str, BinaryIO] | None = None

    def begin(self) -> bool:
        """Get ready for the pieces; False where the copy is there already, and right.

        Raises:
            CheckpointError: there is a copy, and it is not what it should be; or there is no room for one.
        """
        if self._final.exists():
            self._check(self._final)
            return False
        needed = sum(found.size for found in self._manifest.files.values())
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._final.parent).free
            if free < needed:
                raise CheckpointError(
                    f"{self._where} has {free / 1e9:.1f} GB left at {self._final.parent}, the checkpoint"
                    f" {needed / 1e9:.1f} GB; free some, or stage elsewhere"
                )
            self._partial = Path(tempfile.mkdtemp(prefix=f".{self._final.name}.", dir=self._final.parent))
        except OSError as error:
            raise self._failed(error) from error
        return True

    def put(self, name: str, piece: bytes) -> None:
        """The next piece of a file; files come one after another.

        Raises:
            CheckpointError: it cannot be written.
        """
        assert self._partial is not None
        try:
            if self._open is None or self._open[0] != name:
                self._close()
                self._open = (name, (self._partial / name).open("wb"))
            self._open[1].write(piece)
        except OSError as error:
            self.abandon()
            raise self._failed(error) from error

    def finish(self) -> None:
        """See that the copy is right, and put it in place.

        Raises:
            CheckpointError: it is not; nothing of it is left.
        """
        assert self._partial is not None
        try:
            self._close()
            self._check(self._partial)
            for name in self._manifest.files:
                _sync(self._partial / name)
            self._partial.chmod(0o755)
            try:
                self._partial.rename(self._final)
            except OSError:
                if not self._final.exists():
                    raise
                self._check(self._final)  # another process of this machine was first
            _sync(self._final.parent)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing of a copy that is not whole. Safe to call twice."""
        self._close()
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial = None

    def _check(self, folder: Path) -> None:
        for name, wanted in self._manifest.files.items():
            try:
                found = _sum_of(folder / name)
            except OSError as error:
                raise CheckpointError(
                    f"the copy {self._final} on {self._where} lacks {name} ({error.strerror});"
                    " remove it, and stage again"
                ) from error
            if found != wanted:
                raise CheckpointError(
                    f"{name} of the copy {self._final} on {self._where} has SHA-256"
                    f" {found.sha256[:DIGITS]} and not {wanted.sha256[:DIGITS]}; remove it, and stage again"
                )

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _failed(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"{self._where} cannot take a copy at {self._final}: {error.strerror}; name another folder"
        )


def _sum_of(path: Path) -> FileSum:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileSum(file.tell(), digest.hexdigest())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
