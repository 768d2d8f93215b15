"""What a fake server has done so far, as tests read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counters:
    """What happened so far. Read it at any time; it belongs to the server and outlives its restarts."""

    requests: int = 0
    """Generation requests that arrived, faults included."""
    completed: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that were not computed: of several samples' prompt only what was there before them all,
    where the reply, like SGLang's, tells of the whole."""
    completion_tokens: int = 0
    running: int = 0
    """Sequences in a slot: a request for n samples is n of them."""
    waiting: int = 0
    max_running: int = 0
    aborted: int = 0
    """Requests that ended through /abort_request, a pause with abort or an update."""
    disconnected: int = 0
    """Requests whose client went away before the reply."""
    faults: int = 0
    rejected: int = 0
    """Requests answered 400 or 401."""
    lost: int = 0
    """Requests that a restart or a death of the server took with it."""


@dataclass
class Meter:
    """Where a server's time went, in seconds, tokens and steps; all grow.

    Attributes:
        slot_s: sum over slots of the seconds in which each was taken.
        prefill_s: seconds in which prompts were computed.
        decode_s: seconds in which tokens were decoded.
        decode_steps: steps of the whole batch.
        decode_tokens: tokens of all steps; over `decode_steps` it is the mean batch.
    """

    slot_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    decode_steps: int = 0
    decode_tokens: int = 0
