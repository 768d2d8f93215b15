"""A reply, and how it reaches the client: whole, or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import msgspec

Delivery = Literal[
    "whole",
    "reset",  # the connection goes, without a reply
    "cut",  # the connection goes after half of the body
    "drip",  # the body comes in little pieces over `seconds`
]


@dataclass(frozen=True)
class Reply:
    """What a client gets."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    delivery: Delivery = "whole"
    seconds: float = 0.0


def json_reply(body: Any, status: int = 200, **more: Any) -> Reply:
    return Reply(status, msgspec.json.encode(body), "application/json", **more)
