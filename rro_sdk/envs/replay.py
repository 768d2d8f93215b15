"""Reaching a prefix again: by snapshot, or by replaying its commands and checking what they give.

A replay that gives another observation than before raises; it does not poison an estimate. What is kept
of an observation is a digest, so that a prefix is small and holds no text.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.errors import EnvironmentFault
from rro_sdk.types import Observation, Task


class Turn(msgspec.Struct, frozen=True):
    """One turn of a prefix: its command, and the digest of the observation that it must give."""

    command: str
    digest: str


LOST_TRIES = 5
"""A session that was dropped meanwhile is reached again so often; being dropped twice takes bad luck."""


class SessionLost(EnvironmentFault):
    """A session is gone and its last command was not run: it can be replayed."""


def digest(observation: Observation) -> str:
    """The hash of all of an observation: text, end, outcome."""
    return _hash(msgspec.json.encode(observation))


async def replay(env: Environment, task: Task, turns: Sequence[Turn]) -> Episode:
    """Start a task and run the commands of a prefix.

    Raises:
        DataError: the task lacks what the environment needs.
        EnvironmentFault: an observation differs from the one recorded; the message names task and turn.
    """
    episode = await env.start(task)
    try:
        for number, turn in enumerate(turns, 1):
            _check(task, number, turn.digest, digest(await episode.step(turn.command)))
    except BaseException:
        await episode.close()
        raise
    return episode


class Session(ABC):
    """One run through one task that only goes forward: what a world offers that cannot be forked."""

    @property
    @abstractmethod
    def opening(self) -> str:
        """See `Episode.opening`."""

    @abstractmethod
    async def step(self, command: str) -> Observation:
        """See `Episode.step`."""

    @abstractmethod
    def limit_outcome(self) -> float:
        """See `Episode.limit_outcome`; asked after every step that does not end the session."""

    def keep(self, *, kept: bool) -> None:  # noqa: B027 (nothing to do is a fair default)
        """The session is, or is no longer, about to be used: it must not be dropped for another's sake."""

    async def snapshot(self) -> object | None:
        """The state, for `SessionEnvironment.restore`; None where there is no such thing."""
        return None

    async def close(self) -> None:  # noqa: B027 (holding nothing is a fair default)
        """Give back what the session holds. Safe to call twice."""


class SessionEnvironment(Environment):
    """An environment over sessions: an episode is forked by snapshot where there are any, else by replay.

    A fork costs nothing until it is stepped; by replay it then costs the steps of its prefix. A step that
    fails or is cancelled ends its session, and the next one reaches the prefix again.
    """

    @abstractmethod
    async def open(self, task: Task) -> Session:
        """Begin a session; raises as `Environment.start` does."""

    async def restore(self, task: Task, snapshot: object) -> Session:
        """A session in the state of a snapshot; an environment whose sessions give any defines it."""
        raise EnvironmentFault(f"environment {self.name} gives snapshots and defines no restore()")

    async def start(self, task: Task) -> ReplayedEpisode:
        session = await self.open(task)
        return ReplayedEpisode(self, task, _State(session.opening, session.limit_outcome()), session)


class _State(msgspec.Struct, frozen=True):
    """Where an episode is. `turns` are those since the snapshot, or since the start without one.

    `first` is the number of turns before the snapshot.
    """

    opening: str
    limit_outcome: float
    turns: tuple[Turn, ...] = ()
    snapshot: object | None = None
    first: int = 0
    ended: bool = False


class ReplayedEpisode(Episode):
    """An episode of a `SessionEnvironment`."""

    def __init__(
        self, env: SessionEnvironment, task: Task, state: _State, session: Session | None = None
    ) -> None:
        self._env = env
        self._task = task
        self._state = state
        self._session = session
        self._closed = False

    @property
    def opening(self) -> str:
        return self._state.opening

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns since the last snapshot, since the start where there was none."""
        return self._state.turns

    async def step(self, command: str) -> Observation:
        if self._closed or self._state.ended:
            ended = "was closed" if self._closed else "has ended"
            raise EnvironmentFault(f"the episode of task {self._task.id!r} {ended}")
        try:
            observation, limit = await self._stepped(command)
        except BaseException:
            # How far the world got is not known: the next step begins from what is.
            await self._let_go()
            raise
        self._state = msgspec.structs.replace(
            self._state,
            turns=(*self._state.turns, Turn(command, digest(observation))),
            limit_outcome=limit,
            ended=observation.done,
        )
        if observation.done:
            await self._let_go()
        return observation

    def limit_outcome(self) -> float:
        return self._state.limit_outcome

    async def fork(self) -> ReplayedEpisode:
        state = self._state
        if self._session is not None and state.turns and not state.ended:
            snapshot = await self._session.snapshot()
            if snapshot is not None:
                first = state.first + len(state.turns)
                state = msgspec.structs.replace(state, snapshot=snapshot, turns=(), first=first)
                self._state = state
        return ReplayedEpisode(self._env, self._task, state)

    async def close(self) -> None:
        self._closed = True
        await self._let_go()

    async def _stepped(self, command: str) -> tuple[Observation, float]:
        for _ in range(LOST_TRIES):
            try:
                session = await self._reached()
                observation = await session.step(command)
            except SessionLost:
                await self._let_go()
                continue
            session.keep(kept=False)
            return observation, 0.0 if observation.done else session.limit_outcome()
        raise EnvironmentFault(f"task {self._task.id!r}: its session was lost {LOST_TRIES} times on the way")

    async def _reached(self) -> Session:
        """The session in the episode's state, made anew where there is none."""
        if self._session is not None:
            self._session.keep(kept=True)
            return self._session
        state = self._state
        if state.snapshot is not None:
            session = await self._env.restore(self._task, state.snapshot)
        else:
            session = await self._env.open(self._task)
        self._session = session
        session.keep(kept=True)
        if state.snapshot is None:
            _check(self._task, 0, _hash(state.opening.encode(errors="replace")),
                   _hash(session.opening.encode(errors="replace")))  # fmt: skip
        for number, turn in enumerate(state.turns, state.first + 1):
            _check(self._task, number, turn.digest, digest(await session.step(turn.command)))
        return session

    async def _let_go(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _check(task: Task, number: int, wanted: str, given: str) -> None:
    if wanted != given:
        raise EnvironmentFault(
            f"task {task.id!r}, turn {number}: a replay gives another observation than before:"
            " the environment is not deterministic"
        )


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
