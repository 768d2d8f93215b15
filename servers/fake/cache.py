"""A fake server's token memory: the prefix cache, and the room that running sequences take."""

from __future__ import annotations

import heapq
from itertools import count

from servers.fake.prompts import BLOCK, Prefix

UNBOUNDED_BLOCKS = 200_000
"""Blocks kept where no bound is set, before the oldest go: some 40 MB."""

SPARE = 0.05
"""Share of the blocks that goes when one must: looking for the oldest costs a pass over all."""


class _Block:
    """Tokens in memory. `users`: running sequences that end here, and blocks after it that have users."""

    __slots__ = ("after", "computed", "key", "parent", "touched", "users")

    def __init__(self, key: int, parent: _Block | None) -> None:
        self.key = key
        self.parent = parent
        self.after = 0
        self.users = 0
        self.computed = False
        self.touched = 0


class TokenCache:
    """A tree of blocks. Those of running sequences stay; the rest goes leaf by leaf, oldest first.

    Every call costs what of a prompt is new to it, not the prompt's length.

    Args:
        max_tokens: room for blocks and reservations together; None for no bound.
    """

    def __init__(self, max_tokens: int | None) -> None:
        self._max = max_tokens
        self._blocks: dict[int, _Block] = {}
        self._in_use = 0
        self._reserved = 0
        self._clock = count(1)

    @property
    def used(self) -> int:
        """Tokens that running sequences hold; what is merely kept for later does not count, as in SGLang."""
        return self._in_use * BLOCK + self._reserved

    def known(self, prompt: Prefix) -> int:
        """Tokens of a prompt that need not be computed; at least one always is."""
        for position in range(len(prompt.keys), 0, -1):
            block = self._blocks.get(prompt.keys[position - 1])
            if block is not None and block.computed:
                return min(position * BLOCK, prompt.tokens - 1)
        return 0

    def fits(self, prompt: Prefix, new_tokens: int) -> bool:
        """Whether a sequence that is to gain `new_tokens` may run."""
        if self._max is None:
            return True
        more = 0
        for key in reversed(prompt.keys):
            block = self._blocks.get(key)
            if block is not None and block.users:
                break
            more += BLOCK
        return self.used + more + prompt.rest_tokens + new_tokens <= self._max

    def hold(self, prompt: Prefix, new_tokens: int) -> None:
        """Take the room of a sequence; `release` gives it back."""
        self._reserved += new_tokens + prompt.rest_tokens
        block = self._leaf(prompt)
        while block is not None:
            block.users += 1
            if block.users > 1:
                break
            self._in_use += 1
            block = block.parent
        self._evict()

    def release(self, prompt: Prefix, new_tokens: int) -> None:
        self._reserved -= new_tokens + prompt.rest_tokens
        block = self._blocks[prompt.keys[-1]] if prompt.keys else None
        while block is not None:
            block.users -= 1
            if block.users:
                break
            self._in_use -= 1
            block = block.parent

    def keep(self, text: Prefix) -> None:
        """A prompt, or a prompt with its reply, is computed: here for whoever goes on from it."""
        block = self._leaf(text)
        while block is not None and not block.computed:
            block.computed = True
            block = block.parent
        self._evict()

    def clear(self) -> None:
        """Forget all that no running sequence holds."""
        self._forget(len(self._blocks))

    def _leaf(self, text: Prefix) -> _Block | None:
        """The last block of a text, made with all before it where it is new."""
        keys, blocks = text.keys, self._blocks
        there = len(keys)
        while there and keys[there - 1] not in blocks:
            there -= 1
        block = blocks[keys[there - 1]] if there else None
        for key in keys[there:]:
            if block is not None:
                block.after += 1
            block = blocks[key] = _Block(key, block)
        if block is not None:
            block.touched = next(self._clock)
        return block

    def _evict(self) -> None:
        room = UNBOUNDED_BLOCKS if self._max is None else max(0, self._max - self._reserved) // BLOCK
        if len(self._blocks) > room:
            self._forget(len(self._blocks) - room + int(len(self._blocks) * SPARE))

    def _forget(self, wanted: int) -> None:
        """Let up to so many blocks go, each after those that follow it."""
        idle = [
            (each.touched, each.key) for each in self._blocks.values() if not each.after and not each.users
        ]
        heapq.heapify(idle)
        for _ in range(wanted):
            if not idle:
                return
            touched, key = heapq.heappop(idle)
            parent = self._blocks.pop(key).parent
            if parent is not None:
                parent.after -= 1
                parent.touched = max(parent.touched, touched)
                if not parent.after and not parent.users:
                    heapq.heappush(idle, (parent.touched, parent.key))
