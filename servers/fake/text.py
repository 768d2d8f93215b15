"""Tokens and texts of a fake server: pure functions."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")

_WORDS = re.findall(
    r"\w+",
    "select count name from where order by limit group the a of rows table thought action submit first "
    "then because answer query each value more less next check final result",
)


@lru_cache(maxsize=10_000)
def tokens_of(text: str) -> tuple[str, ...]:
    """Split a text so that the pieces joined give it back."""
    return tuple(_TOKEN.findall(text))


def seeded_reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    """6 to 24 words that depend on the arguments alone."""
    key = json.dumps([list(map(dict, messages)), seed, index], sort_keys=True, default=str).encode()
    draw = random.Random(hashlib.sha256(key).digest())
    return " ".join(draw.choices(_WORDS, k=draw.randint(6, 24)))


@dataclass(frozen=True)
class Sample:
    """One text as generated. `matched` is the stop string that ended it, where one did."""

    text: str
    tokens: int
    reason: str
    matched: str | None = None


def cut(text: str, stop: Sequence[str], max_tokens: int | None) -> Sample:
    """What a server returns of `text`: up to the first stop string, or to `max_tokens` tokens.

    The tokens of a stop string are generated, and so counted, but not returned.
    """
    ends = [(text.find(mark), mark) for mark in stop if mark and mark in text]
    if ends:
        end, mark = min(ends)
        spent = len(tokens_of(text[: end + len(mark)]))
        if max_tokens is None or spent <= max_tokens:
            return Sample(text[:end], spent, "stop", mark)
        text = text[:end]
    pieces = tokens_of(text)
    if max_tokens is not None and len(pieces) >= max_tokens:
        return Sample("".join(pieces[:max_tokens]), max_tokens, "length")
    return Sample(text, len(pieces) + 1, "stop")  # one more for the end of sequence


def partial(sample: Sample, tokens: int) -> Sample:
    """What there is of a sample that was aborted after `tokens` tokens."""
    return Sample("".join(tokens_of(sample.text)[:tokens]), min(tokens, sample.tokens), "abort")
