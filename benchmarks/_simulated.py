"""The SDK on a simulated fleet: what carries its requests, and a world that is nothing but its rules.

The world: each of four turns the agent makes one of eight moves, of which half are good; two good moves
solve the task. The simulated servers draw the move from the request's seed alone, so every success rate is
a binomial tail, and a pair is decided by the seeds (rule 10), not by who answered when.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.errors import ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.transport import Transport, retry_after_seconds
from rro_sdk.types import Message, Observation, Task
from servers.fake.service import Request
from servers.simulated import SimulatedFleet

MAX_TURNS = 4
NEEDED = 2
MOVES = 8
GOOD_MOVES = 4
WORDS = (8, 40)
"""Shortest and longest thought, in words: about 15 to 47 tokens a reply."""

_FILLER = [" ".join(f"w{number % 10}" for number in range(count)) for count in range(WORDS[1] + 1)]


def success_rate(turns_left: int, needed: int) -> float:
    """Chance of at least `needed` good moves in `turns_left` turns, by the policy of `reply`."""
    p = GOOD_MOVES / MOVES
    return sum(
        math.comb(turns_left, good) * p**good * (1 - p) ** (turns_left - good)
        for good in range(max(0, needed), turns_left + 1)
    )


def reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    """A thought of some length and a move: all of it from the seed."""
    rest, move = divmod((seed or 0) + 7919 * index, MOVES)
    shortest, longest = WORDS
    return f"Thought: {_FILLER[shortest + rest % (longest - shortest + 1)]}\nAction: move {move}"


class Moves(Environment):
    """See the module. Without I/O; an episode is two numbers."""

    name = "moves"
    max_steps = MAX_TURNS
    instructions = (
        f"You make moves, one a turn, {MAX_TURNS} at most. A move is the word move and a number from 0 to "
        f"{MOVES - 1}. " + "Think about what the last observation told you before you choose the next. " * 12
    )
    demonstrations: tuple[Message, ...] = (
        Message("user", "Which moves solve the example? " + "It is much like the others. " * 8),
        Message("assistant", "Thought: the low ones look well\nAction: move 1"),
        Message("user", "Observation: a good move"),
        Message("assistant", "Thought: on with it\nAction: move 3"),
    )

    async def start(self, task: Task) -> Episode:
        return _Moves(task.instruction)


class _Moves(Episode):
    def __init__(self, opening: str, good: int = 0, made: int = 0) -> None:
        self._opening = opening
        self._good = good
        self._made = made

    @property
    def opening(self) -> str:
        return self._opening

    async def step(self, command: str) -> Observation:
        move = int(command.removeprefix("move "))
        self._made += 1
        self._good += move < GOOD_MOVES
        told = (
            f"Move {move} was the {self._made}. of {MAX_TURNS}; {self._good} of {NEEDED} good ones are made."
        )
        if self._good >= NEEDED:
            return Observation(told, done=True, outcome=1.0)
        if self._good + MAX_TURNS - self._made < NEEDED:
            return Observation(told, done=True, outcome=0.0)
        return Observation(told)

    def limit_outcome(self) -> float:
        return float(self._good >= NEEDED)

    async def fork(self) -> Episode:
        return _Moves(self._opening, self._good, self._made)


def tasks(count: int) -> list[Task]:
    """Tasks whose openings differ from their first word on."""
    return [
        Task(f"t{number}", f"Task {number}: which moves solve it? " + f"It is number {number}. " * 8)
        for number in range(count)
    ]


class SimulatedTransport(Transport):
    """Carries requests to simulated servers: same calls, same errors, no sockets."""

    def __init__(self, fleet: SimulatedFleet) -> None:
        super().__init__()
        self._fleet = fleet

    async def __aenter__(self) -> Self:
        return self

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                got = await self._fleet.handle(server, Request(method, path, body or b""))
                if got.delivery == "drip":
                    await asyncio.sleep(got.seconds)
        except TimeoutError:
            raise ServerTimeout(
                f"server {server} did not answer {path} within {timeout_s:g} s", url=server
            ) from None
        if got.delivery in ("reset", "cut"):
            raise ServerUnreachable(f"cannot reach server {server}; is it running?", url=server)
        if not 200 <= got.status < 300:
            raise ServerRefused(
                f"server {server} answered {path} with status {got.status}",
                url=server,
                status=got.status,
                retry_after=retry_after_seconds(got.headers.get("Retry-After")),
            )
        return got.body
