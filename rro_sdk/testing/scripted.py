"""A policy that says what it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rro_sdk.errors import ConfigError
from rro_sdk.policy import Proposal, ReActTurns
from rro_sdk.prompts import react
from rro_sdk.types import Message, Usage

Say = Callable[[Sequence[Message], int], str]
"""(history, seed of the draw) -> the reply."""


COST = Usage(prompt_tokens=10, completion_tokens=3)
"""Of a reply, unless a test needs another."""


class ScriptedPolicy(ReActTurns):
    """Replies by turn, or by a function of the history and the draw's seed.

    Whatever runs at once, the same draw gets the same reply, so that a test knows what comes of a run.

    Args:
        say: replies by turn, the last of them for every later one; or a function (history, seed) -> reply.
        weight_version: which weights it claims to be.
        usage: what each reply claims to cost.

    Attributes:
        asked: every history that it was asked with, in the order of asking.

    Raises:
        ConfigError: an empty list of replies.
    """

    def __init__(
        self,
        say: Sequence[str] | Say,
        *,
        weight_version: str = "scripted",
        usage: Usage = COST,
    ) -> None:
        if not callable(say) and (isinstance(say, str) or not say):
            raise ConfigError("a scripted policy needs a list of replies, one a turn, or a function")
        self._say = say
        self._version = weight_version
        self._usage = usage
        self.asked: list[tuple[Message, ...]] = []

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        self.asked.append(tuple(messages))
        return Proposal(
            react.parse(self._reply(messages, seed), "stop"), self._usage, (self._version,), "scripted"
        )

    def _reply(self, messages: Sequence[Message], seed: int) -> str:
        if callable(self._say):
            return self._say(messages, seed)
        turn = sum(message.role == "assistant" for message in messages)
        return self._say[min(turn, len(self._say) - 1)]
