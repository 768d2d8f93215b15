"""A folder of files that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import msgspec

from rro_sdk.atomic import refuse_taken, write_lines
from rro_sdk.errors import ConfigError
from rro_sdk.export.base import Row

_encoder = msgspec.json.Encoder()
_READABLE = 0o755  # mkdtemp's own mode shuts other users out, and a trainer may be one


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A hidden neighbour to write into, renamed to `out` at the end, or removed if anything fails.

    Raises:
        ConfigError: `out` is taken, or something could not be written.
    """
    refuse_taken(out)
    parent_is_new = not out.parent.exists()
    work: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
        yield work
        work.chmod(_READABLE)
        work.rename(out)
        _sync_folder(out.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror or type(error).__name__}") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        if parent_is_new:
            with suppress(OSError):  # not empty: the export is in it
                out.parent.rmdir()


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as the file's ending says: Parquet, else JSON Lines.

    Returns:
        The number of rows.

    Raises:
        ConfigError: Parquet without pyarrow.
    """
    if path.suffix == ".parquet":
        return _write_parquet(path, list(rows))
    return write_lines(path, map(_encoder.encode, rows))


def _write_parquet(path: Path, rows: list[Row]) -> int:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'rro-sdk[train]'") from error
    with path.open("wb") as file:
        parquet.write_table(arrow.Table.from_pylist(rows), file)
        file.flush()
        os.fsync(file.fileno())
    return len(rows)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
