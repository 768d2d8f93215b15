"""A loop's world that costs nothing: the toy game, tasks in a file, and trainers that train in no time.

The toy trainers keep the real ones' contract (whole or not at all, a manifest, hashes) and write weights that
depend on the data and the base model alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rro_sdk.checkpoint import content_hash
from rro_sdk.envs.registry import Suite
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task
from tests.checkpoints import write_checkpoint
from tests.toys import ToyEnv
from trainers.events import Event, Step, TrainResult
from trainers.rows import file_sha256, read_rows
from trainers.saving import MANIFEST
from trainers.settings import TrainSettings


def load_tasks(file: str | None) -> list[Task]:
    assert file is not None
    return [Task(**json.loads(line)) for line in Path(file).read_text().splitlines()]


class World(ToyEnv):
    """`ToyEnv` as a configuration names it; `flavour` changes nothing but its digest."""

    def __init__(self, max_steps: int = 4, flavour: str = "plain") -> None:
        super().__init__(max_steps)
        self.data_digest = flavour


suite = Suite(make=World, load_tasks=load_tasks)


def write_tasks(file: Path, name: str, count: int) -> Path:
    lines = [json.dumps({"id": f"{name}{n:03}", "instruction": name, "data": {"n": n}}) for n in range(count)]
    file.write_text("\n".join(lines) + "\n")
    return file


def write_sft(file: Path) -> Path:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"step {n}"}],
            "completion": [{"role": "assistant", "content": f"Thought: on.\nAction: go {n}"}],
        }
        for n in range(4)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def tree(folder: Path, **changes: Any) -> dict[str, Any]:
    """A small configuration over files in `folder`, which are made if absent."""
    if not (folder / "train.jsonl").exists():
        write_tasks(folder / "train.jsonl", "t", 6)
        write_tasks(folder / "held.jsonl", "h", 3)
        write_sft(folder / "sft.jsonl")
    if not (folder / "base").exists():
        write_checkpoint(folder / "base")
    found: dict[str, Any] = {
        "model": str(folder / "base"),
        "out": str(folder / "out"),
        "iterations": 2,
        "environment": {
            "name": "tests.iterate.world:suite",
            "train": str(folder / "train.jsonl"),
            "held_out": str(folder / "held.jsonl"),
        },
        "servers": {"concurrency": 12},
        "method": {"name": "rising", "rollouts": 2, "max_candidates": 3},
        "sample": {"tasks": 3},
        "sft": {"data": str(folder / "sft.jsonl"), "steps": 1, "threads": 1, "device": "cpu"},
        "dpo": {"steps": 1, "threads": 1, "device": "cpu"},
    }
    for name, value in changes.items():
        old = found.get(name)
        found[name] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return {name: value for name, value in found.items() if value is not None}


def toml(tree: dict[str, Any]) -> str:
    """The tree as TOML; JSON writes strings, numbers and lists as TOML does."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in tree.items() if not isinstance(value, dict)]
    for name, table in tree.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


@contextmanager
def unwatched(sampler: Sampler) -> Iterator[None]:
    yield


class ToyTrainer:
    """Keeps what it was asked to train."""

    def __init__(self) -> None:
        self.trained: list[Path] = []

    def __call__(
        self, settings: TrainSettings, *, stop: threading.Event, on_event: Callable[[Event], None]
    ) -> TrainResult:
        rows = read_rows(settings.data, settings.method)
        self.trained.append(settings.out)
        apart = settings.reference_model
        held_to = "" if apart is None else content_hash(apart)
        made = f"{settings.method} {file_sha256(settings.data)} {content_hash(settings.model)} {held_to}"
        work = settings.out.with_name(f".{settings.out.name}.partial-x")
        shutil.rmtree(work, ignore_errors=True)
        weights = write_checkpoint(work) / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-32] + hashlib.sha256(made.encode()).digest())
        on_event(Step(1, 1, 0.5, {}))
        result = {
            "method": settings.method,
            "rows_total": len(rows),
            "rows_used": len(rows),
            "sequences": len(rows),
            "steps": 1,
            "first_loss": 1.0,
            "final_loss": 0.5,
            "first_metrics": {},
            "metrics": {},
            "seconds": {},
            "rows_per_second": 1.0,
            "peak_rss_mb": 1.0,
            "weights_sha256": content_hash(work),
        }
        manifest = {
            "method": settings.method,
            "base_model": {"weights_sha256": content_hash(settings.model)},
            "data": {"sha256": file_sha256(settings.data), "rows_left_out": []},
            "reference": None if apart is None else {"weights_sha256": content_hash(apart)},
            "result": result,
        }
        (work / MANIFEST).write_text(json.dumps(manifest))
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        work.rename(settings.out)
        return TrainResult(
            path=str(settings.out),
            log="",
            rows_left_out=(),
            **result,  # type: ignore[arg-type]
        )
