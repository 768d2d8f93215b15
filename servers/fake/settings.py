"""How a fake server behaves: what it says, how slowly, and what goes wrong when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from rro_sdk.errors import ConfigError
from servers.fake.text import seeded_reply

Reply = Callable[[Sequence[Mapping[str, Any]], int | None, int], str]
"""(messages, seed, index of the sample) -> its text. Called in the server's event loop: do not block."""

FaultKind = Literal[
    "status",  # an error status before any work: 400, 429, 500, 503
    "reset",  # the connection is reset without a reply
    "hang",  # no reply ever; ends when the client gives up
    "cut_body",  # the connection closes in the middle of the body
    "truncated_json",  # a whole reply whose JSON stops half-way
    "not_json",  # status 200 and a page of HTML, as a proxy sends
    "wrong_n",  # one sample fewer than asked for, or one more where one was asked for
    "missing_usage",  # no usage
    "stale_version",  # the weight version from before the last update
]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. `status` and `retry_after_s` are for the kind `status` alone."""

    kind: FaultKind
    status: int = 500
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ConfigError(f"fault {self.kind!r} is none of {', '.join(get_args(FaultKind))}")
        if self.kind == "status" and not 400 <= self.status <= 599:
            raise ConfigError(f"a fault's status is 400 to 599, not {self.status}")


@dataclass(frozen=True)
class Latency:
    """Seconds that a reply takes: a fixed part, and a part per token of its longest sample."""

    per_request_s: float = 0.0
    per_token_s: float = 0.0

    def __post_init__(self) -> None:
        if self.per_request_s < 0 or self.per_token_s < 0:
            raise ConfigError("latencies are 0 s or more")


@dataclass(frozen=True, kw_only=True)
class FakeSettings:
    """How to run a fake server.

    Attributes:
        reply: what it says; by default words drawn from (messages, seed, index).
        latency: how long it takes.
        faults: by number of the generation request, counted from 1 in order of arrival.
        host: loopback by default.
        port: 0 takes a free one.
        api_key: bearer token of generation and information routes.
        admin_api_key: bearer token of control routes.
        model_path: the folder it says it serves; tests of reload give a real one.
        served_name: the name in /v1/models.
        weight_version: what it starts with.
        max_running_requests: samples of more requests than this wait.
        context_length: longest prompt and completion together, in the fake's tokens.
        health_limit_s: how long /health waits for a paused server before it answers 503.
    """

    reply: Reply = seeded_reply
    latency: Latency = Latency()
    faults: Mapping[int, Fault] = field(default_factory=lambda: MappingProxyType({}))
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)
    model_path: str = "fake"
    served_name: str = "fake"
    weight_version: str = "default"
    max_running_requests: int = 256
    context_length: int = 8192
    health_limit_s: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is outside 0-65535; 0 takes a free one")
        if self.max_running_requests < 1:
            raise ConfigError("max_running_requests must be 1 or more")
        if any(number < 1 for number in self.faults):
            raise ConfigError("requests are counted from 1; a fault's number is 1 or more")
