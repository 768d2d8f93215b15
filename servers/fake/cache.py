"""A fake server's token memory: the prefix cache, and the room that running sequences take."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from servers.fake.prompts import BLOCK, Prefix

UNBOUNDED_BLOCKS = 200_000
"""Blocks kept where no bound is set, before the oldest go: some 40 MB."""


class TokenCache:
    """Blocks of prompts, least recently used first out, with those of running sequences held fast.

    A block is touched after the blocks that follow it, so it never leaves before them: what is
    cached of a prompt is always a prefix of it.

    Args:
        max_tokens: room for blocks and reservations together; None for no bound.
    """

    def __init__(self, max_tokens: int | None) -> None:
        self._max = max_tokens
        self._blocks: OrderedDict[bytes, int] = OrderedDict()  # key -> how many sequences hold it
        self._computed: set[bytes] = set()
        self._held = 0
        self._reserved = 0

    @property
    def used(self) -> int:
        """Tokens that running sequences hold; what is merely kept for later does not count, as in SGLang."""
        return self._held * BLOCK + self._reserved

    def known(self, prompt: Prefix) -> int:
        """Tokens of a prompt that need not be computed; at least one always is."""
        keys = prompt.keys
        count = len(keys)
        while count and keys[count - 1] not in self._computed:
            count -= 1
        return min(count * BLOCK, prompt.tokens - 1) if count else 0

    def fits(self, prompt: Prefix, new_tokens: int) -> bool:
        """Whether a sequence that is to gain `new_tokens` may run."""
        if self._max is None:
            return True
        matched = [key for key in prompt.keys if key in self._blocks]
        more = sum(not self._blocks[key] for key in matched) * BLOCK
        return self.used + more + prompt.tokens - len(matched) * BLOCK + new_tokens <= self._max

    def hold(self, prompt: Prefix, new_tokens: int) -> None:
        """Take the room of a sequence; `release` gives it back."""
        self._touch(prompt, 1)
        self._reserved += new_tokens + prompt.tokens - len(prompt.keys) * BLOCK
        self._evict()

    def release(self, prompt: Prefix, new_tokens: int) -> None:
        blocks = self._blocks
        for key in prompt.keys:
            left = blocks[key] - 1
            blocks[key] = left
            self._held -= not left
        self._reserved -= new_tokens + prompt.tokens - len(prompt.keys) * BLOCK

    def keep(self, text: Prefix) -> None:
        """A prompt, or a prompt with its reply, is computed: here for whoever goes on from it."""
        self._touch(text, 0)
        self._computed.update(text.keys)
        self._evict()

    def clear(self) -> None:
        """Forget all that no running sequence holds."""
        self._forget([key for key, holders in self._blocks.items() if not holders])

    def _touch(self, text: Prefix, holders: int) -> None:
        blocks = self._blocks
        for key in reversed(text.keys):
            before = blocks.pop(key, 0)
            blocks[key] = before + holders
            self._held += holders and not before

    def _evict(self) -> None:
        room = UNBOUNDED_BLOCKS if self._max is None else (self._max - self._reserved) // BLOCK
        excess = len(self._blocks) - room
        if excess <= 0:
            return
        idle = (key for key, holders in self._blocks.items() if not holders)
        self._forget(list(islice(idle, excess)))

    def _forget(self, keys: list[bytes]) -> None:
        for key in keys:
            del self._blocks[key]
        self._computed.difference_update(keys)
