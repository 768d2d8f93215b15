"""A run's events, one after the other, into the numbers of a live view. Pure.

The totals are those of `RunStats` and `Ledger`, which hold every step and read every reply; here a step is
added and forgotten, so that memory grows with tasks alone. The one number that may differ is the null: of
steps whose outcomes are not all 0 or 1, and between two views of a run that grows.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import get_args

from rro_sdk._pools import pool_of
from rro_sdk.journal.reading import RunHeader, Spent
from rro_sdk.ledger import Entry, Kind, TaskAccount
from rro_sdk.live.status import Phase, SamplerStatus
from rro_sdk.live.view import TaskCounts, View
from rro_sdk.methods.rules import Paper, Rule
from rro_sdk.report.summary import rollouts_in
from rro_sdk.stats import Rises, binary_nulls, candidates_null
from rro_sdk.types import (
    Baseline,
    Discarded,
    Estimate,
    Event,
    FaultOf,
    Resumed,
    Retried,
    Searched,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
    VersionChanged,
    Wasted,
)

RESAMPLES = 8
"""Of one step's null, where outcomes are graded: over a hundred steps the mean is then surer than the count
of candidates that it is compared with."""

GRADED_KEPT = 1000
"""Steps with graded outcomes that wait for their null at most; those that waited longest are left out."""

GROWN = 1.05
"""By what share a run has grown when its null is computed anew, where not every step must be in it."""

ENOUGH = 3
"""Closed tasks before there is a time to go: the first ones are the shortest."""


class RunFold:
    """What a run's events come to.

    Args:
        header: of the run.
        rule: by which a candidate rises, for the null; the paper's if None.
    """

    def __init__(self, header: RunHeader, rule: Rule | None = None) -> None:
        method = header.method
        self._header = header
        self._rises = _rises(rule)
        self._rollouts_each = int(method["rollouts"])
        self._limits = int(method["max_candidates"]), int(method["min_candidates"])
        self._reestimates = bool(method["reestimate_duplicates"])
        self._binary: Counter[tuple[int, int]] = Counter()
        self._binary_null: tuple[int, float] = (0, 0.0)
        self._graded: deque[tuple[float, ...]] = deque(maxlen=GRADED_KEPT)
        self._graded_null, self._graded_steps = 0.0, 0
        self._steps: Counter[str] = Counter()
        self._no_pair: Counter[str] = Counter()
        self._set_aside: dict[str, FaultOf] = {}
        self._finished = self._candidates = self._pairs = self._rollouts = self._retries = self._unknown = 0
        self._outcomes = 0.0
        self._accounts: dict[str, TaskAccount] = {}
        self._spent: dict[str, dict[Kind, Entry]] = {}
        self._closed: dict[Kind, Entry] = {kind: Entry() for kind in get_args(Kind)}
        self._ended: set[str] = set()
        self._booked: set[str] = set()
        self._decided: dict[str, int] = {}
        self._due: dict[str, None] = {}

    def add(self, event: Event) -> None:
        """Count one event; they come in the order in which they were recorded."""
        if event.task_id and event.task_id not in self._booked:
            account = self._accounts.get(event.task_id)
            if account is None:
                account = self._accounts[event.task_id] = TaskAccount(reestimates=self._reestimates)
            account.add(event)
        match event:
            case StepRecord():
                self._add_step(event)
            case Baseline():
                self._rollouts += len(event.estimate.outcomes)
                self._decide(event)
            case Searched():
                self._rollouts += event.rollouts
                self._decide(event)
            case TaskEnd():
                self._finished += 1
                self._outcomes += event.outcome
                self._ended.add(event.task_id)
                self._due[event.task_id] = None
                self._set_aside.pop(event.task_id, None)
            case TaskFailed():
                self._set_aside[event.task_id] = event.fault_of
                self._due[event.task_id] = None
            case Resumed():  # takes up what a server's fault had set aside
                self._set_aside = {
                    task_id: fault for task_id, fault in self._set_aside.items() if fault != "server"
                }
            case Retried():
                self._retries += 1
            case Wasted():
                if event.known:
                    self._closed[event.kind] = self._closed[event.kind].plus(event.usage)
                else:
                    self._unknown += 1
            case Discarded() | VersionChanged():
                pass

    def _decide(self, event: StepRecord | Baseline | Searched) -> None:
        """What a decision cost by its own account, which stands until the task's replies are read."""
        before = self._decided.get(event.task_id, 0)
        self._decided[event.task_id] = before + event.usage.completion_tokens

    def _add_step(self, record: StepRecord) -> None:
        self._decide(record)
        self._steps[record.outcome] += 1
        self._candidates += len(record.candidates)
        if record.no_pair is None:
            self._pairs += 1
        else:
            self._no_pair[record.no_pair] += 1
        if record.record is not None:  # a comparison of a search: no step of a trajectory, so no null
            return
        self._rollouts += rollouts_in(record, reestimates=self._reestimates)
        pool = pool_of(record, self._reestimates)
        if all(outcome in (0.0, 1.0) for outcome in pool):
            self._binary[int(sum(pool)), len(pool)] += 1
        else:
            self._graded.append(pool)

    def _null(self, *, exact: bool) -> tuple[float, int]:
        """The sum over steps, and over how many. It takes all steps together, in some ten milliseconds."""
        steps = self._binary.total()
        known, mean = self._binary_null
        if known < steps and (exact or known * GROWN <= steps):
            nulls = binary_nulls(self._binary, self._rollouts_each, *self._limits, rises=self._rises)
            mean = math.fsum(count * nulls[key] for key, count in self._binary.items()) / steps
            self._binary_null = steps, mean
        return steps * mean + self._graded_null, steps + self._graded_steps

    def estimate_nulls(self, most: int) -> int:
        """Take up to so many steps with graded outcomes into the null, each in a fraction of a millisecond.

        Returns:
            How many there were.
        """
        count = min(most, len(self._graded))
        for _ in range(count):
            pool = self._graded.pop()  # the newest: the run as it is now
            found = candidates_null(
                [pool],
                self._rollouts_each,
                *self._limits,
                rises=self._rises,
                seed=self._graded_steps,
                resamples=RESAMPLES,
            )
            self._graded_null += found or 0.0
            self._graded_steps += 1
        return count

    def due(self, most: int) -> list[str]:
        """Tasks, `most` at most, that ended or were set aside since `spend` heard of them."""
        return list(islice(self._due, most))

    def open(self, begun: Iterable[str]) -> None:
        """Tasks that were begun, whether anything of them was decided or not: they are due as well."""
        for task_id in begun:
            if task_id not in self._booked:
                self._due[task_id] = None

    def spend(self, task_ids: Sequence[str], rows: Iterable[Spent]) -> None:
        """What these tasks have cost so far, in place of what was told before.

        Args:
            task_ids: the tasks.
            rows: theirs, of `Journal.spent_by`.
        """
        nothing = TaskAccount()
        found: dict[str, dict[Kind, list[int]]] = {task_id: {} for task_id in task_ids}
        for task_id, attempt, step, candidate, rollout, requests, usage in rows:
            kind = self._accounts.get(task_id, nothing).kind(attempt, step, candidate, rollout)
            sums = found[task_id].setdefault(kind, [0, 0, 0, 0])
            sums[0] += usage.prompt_tokens
            sums[1] += usage.cached_tokens
            sums[2] += usage.completion_tokens
            sums[3] += requests
        for task_id, each in found.items():
            entries = {kind: Entry(Usage(*sums[:3]), sums[3]) for kind, sums in each.items()}
            self._due.pop(task_id, None)
            self._decided.pop(task_id, None)
            if task_id in self._ended:
                _add_to(self._closed, entries)
                self._spent.pop(task_id, None)
                self._accounts.pop(task_id, None)
                self._ended.discard(task_id)
                self._booked.add(task_id)
            else:
                self._spent[task_id] = entries

    def entries(self) -> dict[Kind, Entry]:
        """The ledger's entries, of the spending that was told."""
        total = dict(self._closed)
        for entries in self._spent.values():
            _add_to(total, entries)
        return total

    def view(
        self,
        run: str,
        status: SamplerStatus | None,
        phase: Phase,
        *,
        now: float,
        read: float = 1.0,
        exact: bool = True,
    ) -> View:
        """The run as it is.

        Args:
            run: its folder.
            status: what its sampler told last.
            phase: see `phase_of`.
            now: seconds since the epoch.
            read: share of the journal's events that were added.
            exact: of all steps; False lets the null be of a few steps less, for one view of many.
        """
        sampling = status if phase == "sampling" else None
        tasks = self._tasks(status, sampling)
        steps = self._steps.total()
        null, null_steps = self._null(exact=exact)
        return View(
            run=run,
            method=str(self._header.method.get("name", "")),
            environment=self._header.environment,
            phase=phase,
            silent_s=max(0.0, now - status.at) if status is not None else None,
            elapsed_s=status.elapsed_s if status is not None else None,
            to_go_s=_to_go(sampling, tasks) if sampling is not None else None,
            read=read,
            weight_version=status.weight_version if status is not None else "",
            servers=status.servers if status is not None else (),
            generated_per_s=sampling.generated_per_s if sampling is not None else None,
            cached_share=_share(status.usage.cached_tokens, status.usage.prompt_tokens)
            if status is not None
            else None,
            tasks=tasks,
            steps=steps,
            steps_by_outcome=dict(self._steps),
            candidates=self._candidates,
            candidates_per_step=_share(self._candidates, steps),
            candidates_per_step_null=_share(null, null_steps),
            null_steps=null_steps,
            pairs=self._pairs,
            pairs_per_1000_rollouts=_share(1000 * self._pairs, self._rollouts),
            no_pair=dict(self._no_pair),
            rollouts=self._rollouts,
            mean_outcome=_share(self._outcomes, self._finished),
            generated=self._generated(sampling),
            unknown_requests=self._unknown,
            retries=self._retries,
        )

    def _tasks(self, status: SamplerStatus | None, sampling: SamplerStatus | None) -> TaskCounts:
        finished, aside = self._finished, len(self._set_aside)
        given = status.given if status is not None else None
        running = sampling.running if sampling is not None else None
        waiting = None
        if given is not None:  # the journal may be a moment ahead of what the sampler told
            left = max(0, given - finished - aside)
            running = min(running, left) if running is not None else None
            waiting = left - (running or 0)
        return TaskCounts(given, finished, aside, running, waiting)

    def _generated(self, sampling: SamplerStatus | None) -> dict[Kind, int]:
        found = {kind: entry.usage.completion_tokens for kind, entry in self.entries().items()}
        found["kept"] += sum(self._decided.values())
        if sampling is not None:
            # A task's replies are read when it has ended; the sampler counts them all.
            replies = sampling.tokens_before + sampling.usage
            booked = sum(found[kind] for kind in ("kept", "speculative", "set_aside"))
            booked += found["reload"] - self._closed["reload"].usage.completion_tokens
            found["open"] = max(found["open"], replies.completion_tokens - booked)
        return found


def _rises(rule: Rule | None) -> Rises | None:
    if rule is None or rule == Paper():
        return None
    return lambda baseline, candidate: rule.rises(Estimate(baseline), Estimate(candidate))


def _to_go(status: SamplerStatus, tasks: TaskCounts) -> float | None:
    """Tasks that are left, at the pace so far; a task that is under way counts as half done."""
    closed = tasks.finished + tasks.set_aside - status.closed_before
    if tasks.waiting is None or closed < ENOUGH:
        return None
    done, left = closed + status.running / 2, tasks.waiting + status.running / 2
    return status.elapsed_s * left / done


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _add_to(total: dict[Kind, Entry], more: Mapping[Kind, Entry]) -> None:
    for kind, entry in more.items():
        total[kind] = total[kind].plus(entry.usage, entry.requests)
