"""The toy world by name, for command lines: its tasks file holds how many there are."""

from __future__ import annotations

from pathlib import Path

from rro_sdk.envs.registry import Suite
from rro_sdk.types import Task
from tests.chaos.child import tasks
from tests.toys import ToyEnv


def load(file: str | None) -> list[Task]:
    return tasks(int(Path(file or "").read_text(encoding="utf-8")))


suite = Suite(ToyEnv, load)
