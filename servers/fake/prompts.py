"""Prompts as a prefix cache sees them: tokens in blocks, each named by all that comes before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from servers.fake.text import tokens_of

BLOCK = 16
"""Tokens that the pretended prefix cache matches at once."""

REMEMBERED = 50_000
"""Prefixes kept split before they are forgotten and split anew: some 50 MB."""


def opening(role: str) -> str:
    return f"<|{role}|>\n"


def turn_text(content: str) -> str:
    return content + "\n"


_REPLY_OPENING = opening("assistant")


class Prefix:
    """Some text so far. What follows it is split into tokens once, however often it is asked for.

    Attributes:
        tokens: its length.
        keys: one per whole block; equal keys mean equal text up to the end of that block.
        rest_tokens: tokens after the last whole block.
    """

    __slots__ = ("_after", "_rest", "_turns", "keys", "rest_tokens", "tokens")

    def __init__(self, tokens: int = 0, keys: tuple[int, ...] = (), rest: tuple[str, ...] = ()) -> None:
        self.tokens = tokens
        self.keys = keys
        self.rest_tokens = len(rest)
        self._rest = rest
        self._after: dict[str, Self] = {}
        self._turns: dict[tuple[str, str], Self] = {}

    def then(self, text: str) -> Self:
        """This prefix and `text`, which starts a token of its own."""
        found = self._after.get(text)
        if found is None:
            pieces = tokens_of(text)
            keys, rest = extend(self.keys, (*self._rest, *pieces))
            found = self._after[text] = type(self)(self.tokens + len(pieces), keys, rest)
        return found

    def then_turn(self, role: str, content: str) -> Self:
        """This prefix and one message: `opening(role)`, then `turn_text(content)`."""
        found = self._turns.get((role, content))
        if found is None:
            found = self._turns[role, content] = self.then(opening(role)).then(turn_text(content))
        return found

    def forget(self) -> None:
        self._after.clear()
        self._turns.clear()


def extend(keys: tuple[int, ...], tokens: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The keys after more tokens, and the tokens that do not fill a block yet."""
    before = keys[-1] if keys else 0
    made = list(keys)
    end = len(tokens) - len(tokens) % BLOCK
    for start in range(0, end, BLOCK):
        before = hash((before, *tokens[start : start + BLOCK]))  # of this process, as the cache is
        made.append(before)
    return tuple(made), tuple(tokens[end:])


class Prompts:
    """Turns messages and texts into prefixes. May be shared by any number of servers of one event loop."""

    def __init__(self) -> None:
        self._root = Prefix()
        self._asked = 0

    def of_messages(self, messages: Sequence[Mapping[str, Any]]) -> Prefix:
        """The chat template: role, content, and so on; then the assistant's turn begins."""
        found = self._start(len(messages))
        for message in messages:
            found = found.then_turn(str(message.get("role")), content_of(message))
        return found.then(_REPLY_OPENING)

    def of_text(self, text: str) -> Prefix:
        return self._start(1).then(text)

    def _start(self, pieces: int) -> Prefix:
        # At most so many of them are new; an upper bound is enough to bound memory.
        self._asked += 2 * pieces
        if self._asked > REMEMBERED * 10:
            self._root.forget()
            self._asked = 0
        return self._root


def content_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # the API also takes a list of typed parts
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)
