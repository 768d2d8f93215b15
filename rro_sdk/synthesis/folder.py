"""A folder of synthesised tasks: one file a split, the experts' turns for SFT, and a manifest."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from rro_sdk._json import decode
from rro_sdk.atomic import refuse_taken, sync_folder, write_lines
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.synthesis.experts import Played, training_rows

MANIFEST = "manifest.json"
TASKS = "tasks.jsonl"
SFT = "sft.jsonl"

SPLITS = ("train", "validation", "test")

T = TypeVar("T")


class Divided(Protocol):
    """A task that belongs to a split."""

    @property
    def split(self) -> str: ...


def task_lines(tasks: Sequence[Divided], played: Sequence[Played]) -> dict[str, list[bytes]]:
    """The lines of every file.

    `tasks.jsonl` holds all tasks; a split's own file holds the same lines. `sft.jsonl` has the turns of
    the training tasks' experts.

    Args:
        tasks: all of them.
        played: their experts' episodes, in the same order.
    """
    lines = {TASKS: [msgspec.json.encode(task) for task in tasks]}
    for name in SPLITS:
        lines[f"{name}.jsonl"] = [
            line for line, task in zip(lines[TASKS], tasks, strict=True) if task.split == name
        ]
    lines[SFT] = sft_lines(each for task, each in zip(tasks, played, strict=True) if task.split == "train")
    return lines


def sft_lines(played: Iterable[Played]) -> list[bytes]:
    """The experts' turns, one a line."""
    return [msgspec.json.encode(row) for each in played for row in training_rows(each)]


def write_folder(out: Path, lines: Mapping[str, Sequence[bytes]], manifest: Mapping[str, Any]) -> Path:
    """Write files and a manifest with their digests: all of them, or no folder.

    Args:
        out: new or empty.
        lines: of each file.
        manifest: kept beside what is written about the files.

    Raises:
        ConfigError: `out` is taken or cannot be written.
    """
    refuse_taken(out)
    files = {name: {"lines": len(held), "sha256": _sha256(held)} for name, held in lines.items()}
    described = msgspec.json.format(msgspec.json.encode({**manifest, "files": files}), indent=2)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise ConfigError(f"cannot write beside {out}: {error.strerror}") from error
    try:
        for name, held in lines.items():
            write_lines(work / name, held)
        write_lines(work / MANIFEST, [described])
        work.chmod(0o755)
        work.rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def read_tasks(path: Path, kind: type[T], command: str) -> list[T]:
    """The tasks of a file that `write_folder` made.

    Args:
        path: the file.
        kind: what a line is.
        command: what makes such files.

    Raises:
        ConfigError: it cannot be read.
        DataError: a line is not such a task: names file, line and field.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read the tasks file {path}: {error.strerror}") from error
    tasks = []
    for number, line in enumerate(lines, 1):
        try:
            tasks.append(decode(line, kind))
        except msgspec.DecodeError as error:
            raise DataError(f"{path}, line {number}: {error}; make such a file with `{command}`") from error
    if not tasks:
        raise DataError(f"{path} holds no tasks; make some with `{command}`")
    return tasks


def _sha256(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line + b"\n")
    return digest.hexdigest()
