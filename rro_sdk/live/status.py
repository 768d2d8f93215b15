"""What a sampler tells of itself once a second, for what its journal does not know."""

from __future__ import annotations

from typing import Literal

import msgspec

from rro_sdk.inference.slot import ServerStatus
from rro_sdk.types import Usage

STATUS_NAME = "live.json"

TELL_S = 1.0
"""Between two writes: what a person can read; a write costs a fraction of a millisecond."""

SILENT_S = 30.0
"""After so long without a word a sampler of another machine is taken for dead: it tells once a second."""

SILENT_HERE_S = 600.0
"""The same where its process is there, which may be held up by its environment, or be another's by now."""

Ended = Literal["finished", "interrupted", "failed"]


class ServerLoad(ServerStatus, frozen=True):
    """One server, with the tokens a second that it generated of late."""

    generated_per_s: float = 0.0


class SamplerStatus(msgspec.Struct, frozen=True):
    """A sampler at one moment, in numbers.

    Attributes:
        pid: its process, on the machine `host`.
        at: when it was told, in seconds since the epoch.
        elapsed_s: since the sampler began.
        running: tasks that are being explored.
        given: tasks that it was given, those that a resumed run had closed included; None where it
            cannot tell before the end.
        closed_before: of those, the ones that were closed when it began.
        tokens_before: tokens of the replies that the run had when it began.
        usage: tokens of the completions since.
        generated_per_s: generated tokens a second of late.
        weight_version: of every server that is in use.
        servers: empty for a policy of your own.
        ended: how it ended; None while it samples.
    """

    pid: int
    host: str
    at: float
    elapsed_s: float
    running: int
    given: int | None
    closed_before: int
    tokens_before: Usage
    usage: Usage
    generated_per_s: float
    weight_version: str
    servers: tuple[ServerLoad, ...] = ()
    ended: Ended | None = None


def ended_by(error: BaseException | None) -> Ended:
    """How a sampler ends that leaves its block with this error."""
    if error is None:
        return "finished"
    return "failed" if isinstance(error, Exception) else "interrupted"


Phase = Literal["sampling", "finished", "interrupted", "failed", "lost", "unknown"]
"""`lost`: it was killed, or its machine is gone. `unknown`: it never told."""


def phase_of(status: SamplerStatus | None, *, now: float, alive: bool | None) -> Phase:
    """Whether a run is being sampled.

    Args:
        status: what its sampler told last, if it told anything.
        now: seconds since the epoch.
        alive: whether the sampler's process is there; None where that cannot be seen from here.
    """
    if status is None:
        return "unknown"
    if status.ended is not None:
        return status.ended
    patience = SILENT_HERE_S if alive else SILENT_S
    return "lost" if alive is False or now - status.at > patience else "sampling"
