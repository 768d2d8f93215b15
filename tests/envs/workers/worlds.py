"""A world that blocks, breaks and dies on command."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import threading

from rro_sdk.errors import DataError
from rro_sdk.types import Observation, Task

_asked = itertools.count()


class Game:
    def __init__(self, task: Task, drift: bool) -> None:
        self.task = task
        self.drift = drift
        self.path: list[str] = []
        self.opening = f"Walk {task.id}."

    def step(self, command: str) -> Observation:
        print("this must not get between the replies")
        verb, _, value = command.partition(" ")
        if verb == "hang":
            threading.Event().wait()
        if verb == "wait":
            threading.Event().wait(float(value))
        if verb == "die":
            os._exit(3)
        if verb == "raise":
            raise KeyError(value)
        if verb == "stop":
            return Observation("stopped", done=True, outcome=self.limit_outcome())
        if verb == "pid":
            return Observation(str(os.getpid()))
        if verb == "child":
            return Observation(str(subprocess.Popen(["sleep", "600"]).pid))
        if verb == "surrogate":
            return Observation("\ud800")
        self.path.append(command[:10])
        noise = f" {next(_asked)} {random.random()}" if self.drift else ""
        return Observation(f"{self.path}{noise}")

    def limit_outcome(self) -> float:
        return min(1.0, len(self.path) / 10)

    def close(self) -> None:
        self.path.clear()


class World:
    def __init__(self, drift: bool = False, broken: bool = False) -> None:
        self.drift = drift
        if broken:
            raise ZeroDivisionError

    def start(self, task: Task) -> Game:
        if task.data.get("wrong") or task.id.startswith("conformance"):
            raise DataError(f"task {task.id!r} is wrong")
        return Game(task, self.drift)
