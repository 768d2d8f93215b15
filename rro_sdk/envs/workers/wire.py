"""What is said between an application and its worker processes: length-prefixed msgpack."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rro_sdk.types import Observation, Task

HEADER = 4
"""Bytes of a message's length, big-endian."""

Operation = Literal["open", "step", "close"]


class Begin(msgspec.Struct, frozen=True):
    """The first message: which world, built with which settings."""

    target: str
    settings: dict[str, Any]


class Request(msgspec.Struct, frozen=True):
    """One call. `command` is bytes, because an agent's text may hold lone surrogates."""

    operation: Operation
    session: int
    task: Task | None = None
    command: bytes = b""


class Reply(msgspec.Struct, frozen=True):
    """Its answer. `error` says what went wrong, `data` that the task is to blame,
    `lost` that the session is gone and nothing was run."""

    opening: str = ""
    observation: Observation | None = None
    limit_outcome: float = 0.0
    error: str | None = None
    data: bool = False
    lost: bool = False


def packed(message: Begin | Request | Reply) -> bytes:
    content = msgspec.msgpack.encode(message)
    return len(content).to_bytes(HEADER, "big") + content
