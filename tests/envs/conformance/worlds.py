"""A world that keeps the contract, and one for each rule that breaks it and no other."""

from __future__ import annotations

import asyncio
import os
import threading

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.envs.registry import Suite
from rro_sdk.errors import DataError, EnvironmentFault
from rro_sdk.types import Observation, Task


class Walk(Episode):
    """Every command is remembered; `stop` ends the episode, worth more the longer it was."""

    def __init__(self, env: Corridor, task: Task, path: tuple[str, ...] = (), ended: bool = False) -> None:
        self.env = env
        self.task = task
        self.path = path
        self.ended = ended
        self.closed = False

    @property
    def opening(self) -> str:
        return self.task.instruction

    async def step(self, command: str) -> Observation:
        if self.ended or self.closed:
            raise EnvironmentFault("the walk has ended")
        await asyncio.sleep(0)
        if command == "stop":
            self.ended = True
            return Observation("stopped", done=True, outcome=self.limit_outcome())
        self.path = (*self.path, command[:10].encode("utf-8", "replace").decode())
        return Observation(f"{self.task.id}: {self.path}")

    def limit_outcome(self) -> float:
        return min(1.0, len(self.path) / 10)

    async def fork(self) -> Walk:
        return type(self)(self.env, self.task, self.path, self.ended)

    async def close(self) -> None:
        self.closed = True


class Corridor(Environment):
    name = "corridor"
    max_steps = 6
    instructions = "Say anything, then stop."
    walk: type[Walk] = Walk

    async def start(self, task: Task) -> Walk:
        if not isinstance(task.data.get("length"), int):
            raise DataError(f"task {task.id!r} needs `length`")
        return self.walk(self, task)

    def sample_commands(self, task: Task) -> tuple[str, ...]:
        return ("a", "b", "c", "stop")


def tasks(file: str | None = None) -> list[Task]:
    return [Task(f"t{number}", f"Walk {number}.", {"length": number}) for number in range(3)]


suite = Suite(make=Corridor, load_tasks=tasks)


# --- one broken rule each --------------------------------------------------------------------------------


class NoSteps(Corridor):
    max_steps = 0


class NoName(Corridor):
    name = " "


class OutOfBounds(Corridor):
    class walk(Walk):  # noqa: N801
        def limit_outcome(self) -> float:
            return 1.5 if len(self.path) == 2 else 0.0


class NotANumber(Corridor):
    class walk(Walk):  # noqa: N801
        def limit_outcome(self) -> float:
            return float("nan")


class SpeaksPlainText(Corridor):
    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            return "plain text"  # type: ignore[return-value]


class Surrogates(Corridor):
    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            return Observation("\ud800")


class Counting(Corridor):
    """Says how often it was asked: another answer every time."""

    asked = 0

    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            assert isinstance(self.env, Counting)
            self.env.asked += 1
            return Observation(str(self.env.asked))


class SharedForks(Corridor):
    """A fork writes into its original's memory."""

    class walk(Walk):  # noqa: N801
        def __init__(self, env: Corridor, task: Task, memory: list[str] | None = None) -> None:
            super().__init__(env, task)
            self.memory: list[str] = [] if memory is None else memory

        async def step(self, command: str) -> Observation:
            if command != "stop":
                self.memory.append(command)
                self.path = tuple(self.memory)
            return await super().step(command) if command == "stop" else Observation(str(self.memory))

        async def fork(self) -> Walk:
            return type(self)(self.env, self.task, self.memory)


class ForksItself(Corridor):
    class walk(Walk):  # noqa: N801
        async def fork(self) -> Walk:
            return self


class ForgetfulForks(Corridor):
    class walk(Walk):  # noqa: N801
        async def fork(self) -> Walk:
            return type(self)(self.env, self.task, self.path[:1], self.ended)


class EndsEarly(Corridor):
    """Breaks before its own step limit."""

    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            if len(self.path) == 4:
                raise EnvironmentFault("no further")
            return await super().step(command)


class NeverOver(Corridor):
    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            self.ended = False
            return await super().step(command)


class CrashesClosed(Corridor):
    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            if self.closed:
                raise ZeroDivisionError
            return await super().step(command)


class EmptyCommands(Corridor):
    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            return await super().step(command[:0] + command[0] + command[1:])


class Blocks(Corridor):
    """A long command holds the whole program up."""

    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            if len(command) > 10_000:
                threading.Event().wait(0.2)
            return await super().step(command)


class NeedsData(Corridor):
    async def start(self, task: Task) -> Walk:
        assert task.data["length"] >= 0
        return Walk(self, task)


class OneMemory(Corridor):
    """What is told to one episode is answered in another."""

    last = ""

    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            assert isinstance(self.env, OneMemory)
            self.env.last = self.task.id
            await super().step(command)
            if command == "stop":
                return Observation("stopped", done=True, outcome=0.0)
            return Observation(self.env.last)


class HoldsItsLock(Corridor):
    """A cancelled step never gives its lock back."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    class walk(Walk):  # noqa: N801
        async def step(self, command: str) -> Observation:
            assert isinstance(self.env, HoldsItsLock)
            await self.env.lock.acquire()
            observation = await super().step(command)
            self.env.lock.release()
            return observation


class LeaksFiles(Corridor):
    def __init__(self) -> None:
        self.files: list[int] = []

    async def start(self, task: Task) -> Walk:
        walk = await super().start(task)
        self.files.append(os.open(os.devnull, os.O_RDONLY))
        return walk

    async def close(self) -> None:
        while self.files:
            os.close(self.files.pop())


class LeavesAProcess(Corridor):
    """Starts a child with its first episode, and leaves it running."""

    child: asyncio.subprocess.Process | None = None

    async def start(self, task: Task) -> Walk:
        walk = await super().start(task)
        if self.child is None:
            self.child = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
        return walk


class ClosesOnce(Corridor):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise KeyError("closed")
        self.closed = True
