"""What an environment is: the contract between a world and the sampler.

An `Environment` makes episodes; an `Episode` is one run through a task. The sampler forks an
episode at every prefix from which it rolls out, so `fork` must be cheap and independent. A world that
cannot be forked becomes an environment by `rro_sdk.envs.replay` (snapshot or replay), one that blocks
by `rro_sdk.envs.workers`; `rro_sdk.envs.conformance.check` says whether an environment keeps the contract.

The same task and the same commands give the same observations, always: an estimate is a mean over
rollouts that are meant to start in one state.

What an agent does wrong (bad syntax, an unknown command) is an `Observation`. Only a fault of
the world itself raises: `EnvironmentFault`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from rro_sdk.types import Message, Observation, Task


class Episode(ABC):
    """One run through one task. Not for concurrent use; `fork` it instead."""

    @property
    @abstractmethod
    def opening(self) -> str:
        """What the agent is shown first: the question and whatever else it starts with."""

    @abstractmethod
    async def step(self, command: str) -> Observation:
        """Run one command, of any text and length.

        Raises:
            EnvironmentFault: the world broke, through no fault of the command; or the episode has ended.
        """

    @abstractmethod
    def limit_outcome(self) -> float:
        """What the episode scores, in [0, 1], when it is cut off at `max_steps` now (rule 7)."""

    @abstractmethod
    async def fork(self) -> Episode:
        """An independent episode in the same state; neither sees what the other does next."""

    async def close(self) -> None:  # noqa: B027 (holding nothing is a fair default)
        """Give back what the episode holds. Safe to call twice."""


class Environment(ABC):
    """A family of tasks that share actions and rules. Safe for concurrent use.

    Attributes:
        name: short name, kept in the run's header.
        max_steps: turns after which an episode is cut off; malformed replies count.
        instructions: what the agent must know of the commands, for the system message.
        demonstrations: worked examples as alternating user / assistant messages (few-shot), or empty.
        fault_outcome: what a rollout scores, in [0, 1], that the environment itself could not finish.
        data_digest: names settings and data (`rro_sdk.fingerprint.digest_of`), so that a resumed run notices
            others; "" where it is not known.
    """

    name: str
    max_steps: int
    instructions: str
    demonstrations: Sequence[Message] = ()
    fault_outcome: float = 0.0
    data_digest: str = ""

    @abstractmethod
    async def start(self, task: Task) -> Episode:
        """Begin the task.

        Raises:
            DataError: the task lacks what this environment needs.
            EnvironmentFault: the world broke.
        """

    def sample_commands(self, task: Task) -> Sequence[str]:
        """Commands that make sense one after the other on this task, the last one ending it if one can.

        For checks of the environment alone; none by default.
        """
        return ()

    async def close(self) -> None:  # noqa: B027 (holding nothing is a fair default)
        """Give back what the environment holds. Safe to call twice."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
