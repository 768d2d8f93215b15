"""Prompts as a prefix cache sees them: tokens in blocks, each named by all that comes before it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

from servers.fake.text import tokens_of

BLOCK = 16
"""Tokens that the pretended prefix cache matches at once."""

REMEMBERED = 50_000
"""Prefixes kept split before they are forgotten and split anew: some 50 MB."""


class Prefix:
    """Some text so far. What follows it is split into tokens once, however often it is asked for.

    Attributes:
        tokens: its length.
        keys: one per whole block; equal keys mean equal text up to the end of that block.
    """

    __slots__ = ("_after", "_rest", "keys", "tokens")

    def __init__(self, tokens: int = 0, keys: tuple[bytes, ...] = (), rest: tuple[str, ...] = ()) -> None:
        self.tokens = tokens
        self.keys = keys
        self._rest = rest
        self._after: dict[str, Self] = {}

    def then(self, text: str) -> Self:
        """This prefix and `text`, which starts a token of its own."""
        found = self._after.get(text)
        if found is None:
            pieces = tokens_of(text)
            keys, rest = extend(self.keys, (*self._rest, *pieces))
            found = self._after[text] = type(self)(self.tokens + len(pieces), keys, rest)
        return found

    def forget(self) -> None:
        self._after.clear()


def extend(keys: tuple[bytes, ...], tokens: Sequence[str]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The keys after more tokens, and the tokens that do not fill a block yet."""
    before = keys[-1] if keys else b""
    made = list(keys)
    end = len(tokens) - len(tokens) % BLOCK
    for start in range(0, end, BLOCK):
        block = "\x00".join(tokens[start : start + BLOCK]).encode("utf-8", "surrogatepass")
        before = hashlib.blake2b(before + block, digest_size=16).digest()
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
            found = found.then(header(str(message.get("role")))).then(content_of(message) + "\n")
        return found.then(header("assistant"))

    def of_text(self, text: str) -> Prefix:
        return self._start(1).then(text)

    def _start(self, pieces: int) -> Prefix:
        # At most so many of them are new; an upper bound is enough to bound memory.
        self._asked += 2 * pieces
        if self._asked > REMEMBERED * 10:
            self._root.forget()
            self._asked = 0
        return self._root


def header(role: str) -> str:
    return f"<|{role}|>\n"


def content_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # the API also takes a list of typed parts
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)
