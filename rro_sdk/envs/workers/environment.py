"""An environment whose world blocks, run in worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rro_sdk.envs.replay import Session, SessionEnvironment, SessionLost
from rro_sdk.envs.workers.process import Worker
from rro_sdk.envs.workers.wire import Begin, Request
from rro_sdk.errors import ConfigError, EnvironmentFault
from rro_sdk.types import Message, Observation, Task


class BlockingGame(Protocol):
    """One run through one task; it is never called from two threads at once."""

    @property
    def opening(self) -> str:
        """What the agent is shown first."""
        ...

    def step(self, command: str) -> Observation:
        """Run one command; it may take its time."""
        ...

    def limit_outcome(self) -> float:
        """What the game scores when it is cut off now."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class BlockingWorld(Protocol):
    """A family of tasks, built once in each worker process."""

    def start(self, task: Task) -> BlockingGame:
        """Begin a game; DataError where the task lacks what the world needs."""
        ...


class WorkerEnvironment(SessionEnvironment):
    """A `BlockingWorld` as an environment: games live in worker processes, forks are replays.

    Processes start when they are first needed. One that dies or hangs is replaced; the games that it held
    are replayed when they go on, all but the one whose command it was. Workers end with the application,
    however it ends.

    Args:
        target: the class or function that makes the world, as `package.module:attribute`.
        name: see `Environment`.
        max_steps: see `Environment`.
        instructions: see `Environment`.
        demonstrations: see `Environment`.
        commands: see `Environment.sample_commands`.
        settings: keyword arguments of the world; JSON values.
        workers: processes.
        games_per_worker: games that a process holds; beyond it the one idle longest is dropped, and
            replayed when it is needed.
        start_timeout_s: longest time in which a process starts and builds its world.
        call_timeout_s: longest time of one call.
        log: file for what worlds print; dropped by default.

    Raises:
        ConfigError: settings that cannot be right.
    """

    def __init__(
        self,
        target: str,
        *,
        name: str,
        max_steps: int,
        instructions: str,
        demonstrations: Sequence[Message] = (),
        commands: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        workers: int = 2,
        games_per_worker: int = 64,
        start_timeout_s: float = 120.0,
        call_timeout_s: float = 60.0,
        log: Path | None = None,
    ) -> None:
        if not all(part for part in target.partition(":")):
            raise ConfigError(f"a world is named package.module:attribute, not {target!r}")
        for label, value in (
            ("workers", workers),
            ("games_per_worker", games_per_worker),
            ("start_timeout_s", start_timeout_s),
            ("call_timeout_s", call_timeout_s),
        ):
            if value <= 0:
                raise ConfigError(f"{label} must be above 0, not {value}")
        self.name = name
        self.max_steps = max_steps
        self.instructions = instructions
        self.demonstrations = demonstrations
        self._commands = tuple(commands)
        self._workers = [
            Worker(
                Begin(target, dict(settings or {})),
                start_s=start_timeout_s,
                call_s=call_timeout_s,
                most=games_per_worker,
                log=log,
            )
            for _ in range(workers)
        ]

    async def open(self, task: Task) -> Session:
        worker = min(self._workers, key=lambda each: each.load)
        number, reply = await worker.open(task)
        return _Game(worker, number, reply.opening, reply.limit_outcome)

    def sample_commands(self, task: Task) -> Sequence[str]:
        return self._commands

    async def close(self) -> None:
        for worker in self._workers:
            await worker.close()


class _Game(Session):
    def __init__(self, worker: Worker, number: int, opening: str, limit_outcome: float) -> None:
        self._worker = worker
        self._number = number
        self._opening = opening
        self._limit_outcome = limit_outcome

    @property
    def opening(self) -> str:
        return self._opening

    async def step(self, command: str) -> Observation:
        if not self._worker.holds(self._number):
            raise SessionLost("the game was dropped by its worker")
        reply = await self._worker.call(
            Request("step", self._number, command=command.encode("utf-8", "surrogatepass"))
        )
        if reply.observation is None:
            raise EnvironmentFault(f"a game of {self._worker.target} gave no observation")
        self._limit_outcome = reply.limit_outcome
        return reply.observation

    def limit_outcome(self) -> float:
        return self._limit_outcome

    def keep(self, *, kept: bool) -> None:
        self._worker.pin(self._number, pinned=kept)

    async def close(self) -> None:
        self._worker.forget(self._number)
