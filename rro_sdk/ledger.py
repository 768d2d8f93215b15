"""Where every token of a run went.

prompt    = cached + prefilled
generated = kept + speculative + open + set aside + lost to reload     replies that are recorded
          + aborted + retried + cut off by a reload                    requests that came to nothing

The first line of kinds comes from the recorded replies, each of which belongs to exactly one; the second from
what servers said of requests that ended without one. Requests of which nobody said what they cost (a broken
connection, a server that died) are counted as unknown.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from rro_sdk.journal import Journal
from rro_sdk.types import Discarded, Event, Searched, StepRecord, TaskEnd, TaskFailed, Usage, Wasted

Kind = Literal["kept", "speculative", "open", "set_aside", "reload", "aborted", "retried"]
"""kept: decided a step. speculative: drawn ahead, and not needed. open: of a step that is not decided yet.
set_aside: of a task that was. reload: of a step thrown away, or cut off. aborted: given up. retried: the
reply was of no use."""


class Entry(msgspec.Struct, frozen=True):
    """Tokens of one kind, and how many requests they were."""

    usage: Usage = Usage()
    requests: int = 0

    def plus(self, usage: Usage, requests: int = 1) -> Entry:
        return Entry(self.usage + usage, self.requests + requests)


class Ledger(msgspec.Struct, frozen=True):
    """The account of a run.

    Attributes:
        entries: tokens by kind.
        unknown_requests: requests of which nobody said what they cost.
        pairs: preference pairs that came of it.
        wall_s: seconds from the first event to the last.
    """

    entries: dict[Kind, Entry]
    unknown_requests: int
    pairs: int
    wall_s: float

    @property
    def total(self) -> Usage:
        """What the servers spent, as far as it is known."""
        return sum((entry.usage for entry in self.entries.values()), Usage())


Draws = tuple[int, int, int]
"""attempt, step, candidate."""


class TaskAccount:
    """What the events say of one task: which draws decided something, and which were thrown away.

    Args:
        reestimates: equal candidates cost rollouts of their own (rule 9).
    """

    def __init__(self, *, reestimates: bool = False) -> None:
        self._reestimates = reestimates
        self.used: dict[Draws, int] = {}
        self.lost: dict[int, int] = {}
        self.decided: dict[int, int] = {}
        self.baselines: dict[tuple[int, int], int] = {}
        self.searched: set[int] = set()
        self.ended: Kind = "open"

    def add(self, event: Event) -> None:
        match event:
            case Searched():
                self.searched.add(event.attempt)
            case StepRecord() if event.record is None:
                self.decided[event.step] = event.attempt
                drawn = [*event.candidates, *filter(None, [event.prefix_action])]
                for candidate in drawn:
                    # A duplicate's estimate is another's; what was rolled out for it was drawn ahead.
                    shared = candidate.duplicate_of is not None and not self._reestimates
                    count = 0 if shared or candidate.estimate.terminal else len(candidate.estimate.outcomes)
                    self.used[event.attempt, event.step, candidate.index] = count
                self.baselines[event.attempt, event.step - 1] = len(event.baseline.outcomes)
            case Discarded():
                self.lost[event.attempt] = event.step
            case TaskEnd():
                self.ended = "kept"
            case TaskFailed():
                self.ended = "set_aside" if self.ended != "kept" else "kept"

    def kind(self, attempt: int, step: int, candidate: int, rollout: int) -> Kind:
        """What one rollout's (or, at -1, candidate's) replies were for."""
        if attempt in self.searched:  # a search draws nothing that it does not use
            return "kept"
        if (attempt, step, candidate) in self.used:
            return "kept" if rollout < self.used[attempt, step, candidate] else "speculative"
        # A baseline is drawn under the step before it, as its candidate 0.
        if candidate == 0 and (attempt, step) in self.baselines and self.decided.get(step) != attempt:
            return "kept" if rollout < self.baselines[attempt, step] else "speculative"
        if self.decided.get(step) == attempt and not (candidate == 0 and step + 1 == self.lost.get(attempt)):
            return "speculative"
        if attempt in self.lost and step >= self.lost[attempt] - 1:
            return "reload"
        return "speculative" if self.ended == "kept" else self.ended


def ledger_of(journal: Journal) -> Ledger:
    """Account for every token of a run.

    Raises:
        JournalError: the journal is damaged.
    """
    entries: dict[Kind, Entry] = {kind: Entry() for kind in get_args(Kind)}
    tasks: dict[str, TaskAccount] = {}
    unknown = pairs = 0
    reestimates = bool(journal.header().method.get("reestimate_duplicates"))
    for event in journal.events():
        if isinstance(event, Wasted):
            if event.known:
                entries[event.kind] = entries[event.kind].plus(event.usage)
            else:
                unknown += 1
        elif event.task_id:
            tasks.setdefault(event.task_id, TaskAccount(reestimates=reestimates)).add(event)
            pairs += isinstance(event, StepRecord) and event.pair is not None
    nothing = TaskAccount()
    for task_id, attempt, step, candidate, rollout, requests, usage in journal.spent():
        kind = tasks.get(task_id, nothing).kind(attempt, step, candidate, rollout)
        entries[kind] = entries[kind].plus(usage, requests)
    return Ledger(entries, unknown, pairs, journal.duration_s())


class Cost(msgspec.Struct, frozen=True):
    """What a run cost in money.

    Attributes:
        gpu_hours: GPUs times the run's wall time.
        money: in the currency of the price.
        per_pair: money per preference pair; None without pairs.
        per_kept_token: money per generated token that decided something; None without any.
    """

    gpu_hours: float
    money: float
    per_pair: float | None
    per_kept_token: float | None


def cost_of(ledger: Ledger, *, price_per_gpu_hour: float, gpus: int) -> Cost:
    """Price a ledger by the time that its GPUs were held."""
    hours = ledger.wall_s / 3600 * gpus
    money = hours * price_per_gpu_hour
    kept = ledger.entries["kept"].usage.completion_tokens
    return Cost(hours, money, money / ledger.pairs if ledger.pairs else None, money / kept if kept else None)
