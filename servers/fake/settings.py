"""How a fake server behaves: what it says, how slowly, and what goes wrong when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from rro_sdk.errors import ConfigError
from servers.fake.text import seeded_reply

Reply = Callable[[Sequence[Mapping[str, Any]], int | None, int], str]
"""(messages, seed, index of the sample) -> its text. Called in the server's event loop: do not block."""

FaultKind = Literal[
    # instead of the work
    "status",  # an error status: 400, 429, 500, 503
    "reset",  # the connection is reset without a reply
    "hang",  # no reply ever; ends when the client gives up
    "not_json",  # status 200 and a page of HTML, as a proxy sends
    # on the reply
    "slow_drip",  # the body trickles in over `seconds`
    "cut_body",  # the connection closes in the middle of the body
    "truncated_json",  # a whole reply whose JSON stops half-way
    "wrong_n",  # one sample fewer than asked for, or one more where one was asked for
    "missing_usage",  # no usage
    "stale_version",  # the weight version from before the last update
    "no_version",  # no weight version at all
    # in how it is worked on
    "ignores_abort",  # it runs to its end, whoever aborts it or goes away, and replies late
    # of the server as a whole
    "restart",  # everything in flight is lost; empty cache, original weights, no pause
    "dead",  # the same, and nothing listens for `seconds`
    "resume_ignored",  # from now on /continue_generation answers 200 and changes nothing
    "flush_refused",  # from now on an update outside of a pause keeps the cache, and answers 400
]

LASTING_FAULTS = ("resume_ignored", "flush_refused")
"""Faults of the server that hold until it restarts."""

SERVER_FAULTS = ("restart", "dead", *LASTING_FAULTS)
"""Faults that befall the server, not one request."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: what; see `FaultKind`.
        status: the status of the kind `status`.
        retry_after_s: its Retry-After header, if any.
        seconds: how long a slow drip or a dead server lasts.
    """

    kind: FaultKind
    status: int = 500
    retry_after_s: float | None = None
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ConfigError(f"fault {self.kind!r} is none of {', '.join(get_args(FaultKind))}")
        if self.kind == "status" and not 400 <= self.status <= 599:
            raise ConfigError(f"a fault's status is 400 to 599, not {self.status}")
        if self.seconds < 0:
            raise ConfigError(f"a fault lasts 0 s or more, not {self.seconds}")


@dataclass(frozen=True)
class Timed:
    """A fault by the clock, in seconds since the server started.

    A request's fault befalls every generation request that arrives in [from_s, until_s). `restart` and
    `dead` happen once, at from_s (`dead` lasts `Fault.seconds`); `resume_ignored` and `flush_refused` hold
    within the window.
    """

    fault: Fault
    from_s: float
    until_s: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.from_s < self.until_s:
            raise ConfigError(f"a timed fault needs 0 <= from_s < until_s, not {self.from_s}, {self.until_s}")


@dataclass(frozen=True)
class Latency:
    """Seconds that things take, in the shape of a server that batches continuously.

    Prompts are computed before anything is decoded further, as SGLang does without mixed chunks; then all
    running sequences gain one token a step.

    Attributes:
        per_request_s: a fixed part of a request, spent in its slot beside all others.
        per_token_s: a decode step for one sequence, without its own share.
        per_running_s: what every running sequence adds to a step.
        per_prompt_token_s: a prompt token that is not in the cache; holds everyone up.
        per_cached_token_s: a prompt token that is.
        link_s: the way to the server and back, outside of any slot.
    """

    per_request_s: float = 0.0
    per_token_s: float = 0.0
    per_running_s: float = 0.0
    per_prompt_token_s: float = 0.0
    per_cached_token_s: float = 0.0
    link_s: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) >= 0:
                raise ConfigError(f"latency {name} is 0 s or more, not {getattr(self, name)}")

    def step_s(self, running: int) -> float:
        """One decode step of a batch of so many sequences."""
        return self.per_token_s + self.per_running_s * running

    def prefill_s(self, computed: int, cached: int) -> float:
        """Prompts of so many tokens, outside and inside the cache."""
        return self.per_prompt_token_s * computed + self.per_cached_token_s * cached


@dataclass(frozen=True, kw_only=True)
class FakeSettings:
    """How to run a fake server.

    Attributes:
        reply: what it says; by default words drawn from (messages, seed, index).
        latency: how long it takes.
        faults: by number of the generation request, counted from 1 in order of arrival.
        timed_faults: by the clock. A fault by number goes before one by the clock.
        host: loopback by default.
        port: 0 takes a free one.
        api_key: bearer token of generation and information routes.
        admin_api_key: bearer token of control routes.
        model_path: the folder it says it serves; tests of reload give a real one.
        served_name: the name in /v1/models.
        weight_version: what it starts with.
        max_running_requests: more sequences than this wait; a request for n samples is n of them.
        max_total_tokens: room for prompts, prefix cache and generated tokens together; None for no bound.
        context_length: longest prompt and completion together, in the fake's tokens.
        update_s: how long loading weights from disk takes.
        health_limit_s: how long /health waits for a paused server before it answers 503.
    """

    reply: Reply = seeded_reply
    latency: Latency = Latency()
    faults: Mapping[int, Fault] = field(default_factory=lambda: MappingProxyType({}))
    timed_faults: Sequence[Timed] = ()
    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)
    model_path: str = "fake"
    served_name: str = "fake"
    weight_version: str = "default"
    max_running_requests: int = 256
    max_total_tokens: int | None = None
    context_length: int = 8192
    update_s: float = 0.0
    health_limit_s: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is outside 0-65535; 0 takes a free one")
        if self.max_running_requests < 1:
            raise ConfigError("max_running_requests must be 1 or more")
        if self.max_total_tokens is not None and self.max_total_tokens < self.context_length:
            raise ConfigError("max_total_tokens must hold one request of context_length tokens")
        if any(number < 1 for number in self.faults):
            raise ConfigError("requests are counted from 1; a fault's number is 1 or more")
