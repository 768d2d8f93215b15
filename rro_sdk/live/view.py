"""What a live view shows: numbers alone, ready to be drawn or printed as JSON."""

from __future__ import annotations

import msgspec

from rro_sdk.ledger import Kind
from rro_sdk.live.status import Phase, ServerLoad


class TaskCounts(msgspec.Struct, frozen=True):
    """Tasks by state; the first and the last two are None where the sampler does not tell.

    Attributes:
        given: all of them.
        finished: explored to their end.
        set_aside: given up, for a fault of theirs or of a server.
        running: being explored.
        waiting: not begun, or begun by an earlier sampler and not taken up yet.
    """

    given: int | None
    finished: int
    set_aside: int
    running: int | None
    waiting: int | None


class View(msgspec.Struct, frozen=True):
    """A run at one moment.

    Attributes:
        run: its folder.
        phase: whether it is being sampled.
        silent_s: seconds since its sampler told of itself; None where it never did.
        elapsed_s: seconds since its sampler began; None where it never told.
        to_go_s: seconds that the rest takes at the pace so far; None while there is nothing to go by.
        read: share of the journal that the numbers below are of.
        weight_version: of the servers in use.
        servers: each server's load; empty for a policy of your own.
        generated_per_s: generated tokens a second of late.
        cached_share: of the prompt tokens since the sampler began.
        steps_by_outcome: risen, exhausted and complete.
        candidates_per_step: the paper's "# Sample".
        candidates_per_step_null: what it would be if candidates were exactly as good as their prefix. With
            outcomes other than 0 and 1 it is an estimate from some of the steps.
        null_steps: how many steps the null is of.
        no_pair: steps without a pair, by reason.
        mean_outcome: of the finished tasks.
        generated: generated tokens by what they were for (`rro_sdk.ledger`). While a run is sampled, `open`
            also has what tasks under way drew ahead; at its end the two agree.
        unknown_requests: requests of which nobody said what they cost.
        retries: requests that were tried again.
    """

    run: str
    method: str
    environment: str
    phase: Phase
    silent_s: float | None
    elapsed_s: float | None
    to_go_s: float | None
    read: float
    weight_version: str
    servers: tuple[ServerLoad, ...]
    generated_per_s: float | None
    cached_share: float | None
    tasks: TaskCounts
    steps: int
    steps_by_outcome: dict[str, int]
    candidates: int
    candidates_per_step: float | None
    candidates_per_step_null: float | None
    null_steps: int
    pairs: int
    pairs_per_1000_rollouts: float | None
    no_pair: dict[str, int]
    rollouts: int
    mean_outcome: float | None
    generated: dict[Kind, int]
    unknown_requests: int
    retries: int
