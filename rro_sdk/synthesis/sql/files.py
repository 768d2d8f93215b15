"""A folder of synthesised tasks: one file a split, the experts' turns for SFT, and a manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.synthesis.experts import Played, training_rows
from rro_sdk.synthesis.sql.audit import Audit
from rro_sdk.synthesis.sql.generate import SPLITS, SynthesisSettings, SyntheticTask

MANIFEST = "manifest.json"
TASKS = "tasks.jsonl"
SFT = "sft.jsonl"


def write_folder(
    out: Path,
    tasks: Sequence[SyntheticTask],
    played: Sequence[Played],
    settings: SynthesisSettings,
    found: Audit,
    thrown_away: dict[str, int],
    source_sha256: str,
) -> Path:
    """Write tasks.jsonl, one file a split, sft.jsonl and manifest.json: all of them, or no folder.

    `tasks.jsonl` holds all tasks, each line with its `split` and `split_by`; the split's own file holds
    the same lines. `sft.jsonl` has the turns of the training tasks' experts.

    Args:
        out: new or empty.
        tasks: all of them.
        played: their experts' episodes, in the same order.
        settings: kept in the manifest.
        found: kept in the manifest.
        thrown_away: drafts by the reason why they gave no task.
        source_sha256: digest of the databases' dump.

    Raises:
        ConfigError: `out` is taken or cannot be written.
    """
    free(out)
    lines = {TASKS: [msgspec.json.encode(task) for task in tasks]}
    for name in SPLITS:
        lines[f"{name}.jsonl"] = [
            line for line, task in zip(lines[TASKS], tasks, strict=True) if task.split == name
        ]
    lines[SFT] = [
        msgspec.json.encode(row)
        for task, each in zip(tasks, played, strict=True)
        if task.split == "train"
        for row in training_rows(each)
    ]
    manifest = {
        "what": "SQL tasks synthesised over a schema, with expert trajectories",
        "settings": asdict(settings),
        "databases_sha256": source_sha256,
        "found": msgspec.to_builtins(found),
        "thrown_away": thrown_away,
        "files": {name: {"lines": len(held), "sha256": _sha256(held)} for name, held in lines.items()},
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise ConfigError(f"cannot write beside {out}: {error.strerror}") from error
    try:
        for name, held in lines.items():
            write_lines(work / name, held)
        write_lines(work / MANIFEST, [msgspec.json.format(msgspec.json.encode(manifest), indent=2)])
        work.chmod(0o755)
        work.rename(out)
        _sync(out.parent)
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def free(out: Path) -> None:
    """Raises ConfigError where something lies at `out` already."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ConfigError(f"{out} exists already and is not an empty folder: choose another --out")


def read_synthetic(path: Path) -> list[SyntheticTask]:
    """The tasks of a file that `write_folder` made.

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
            tasks.append(msgspec.json.decode(line, type=SyntheticTask))
        except msgspec.DecodeError as error:
            raise DataError(
                f"{path}, line {number}: {error}; make such a file with `rro data synth sql`"
            ) from error
    if not tasks:
        raise DataError(f"{path} holds no tasks; make some with `rro data synth sql`")
    return tasks


def _sha256(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line + b"\n")
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
