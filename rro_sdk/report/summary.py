"""The numbers that a run always reports (semantics, "Numbers a run always reports")."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec

from rro_sdk._numbers import exact_mean
from rro_sdk._pools import pool_of
from rro_sdk.ledger import Ledger
from rro_sdk.methods.rules import Paper, Rule
from rro_sdk.stats import Rises, bootstrap_ratios, candidates_nulls, effective_sample_size
from rro_sdk.types import (
    Baseline,
    Discarded,
    Estimate,
    Event,
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


class RunSummary(msgspec.Struct, frozen=True):
    """One run in numbers. Shares and means are None where there is nothing to average.

    Attributes:
        candidates_per_step: the paper's "# Sample".
        candidates_per_step_null: what it would be if candidates were exactly as good as their prefix.
        mean_outcome: mean outcome of the explored trajectories, in [0, 1].
        steps_by_outcome: risen and exhausted.
        no_pair: steps without a pair, by reason.
        rising_by_third: share of steps whose own action has r_t >= r_{t-1}, in the first, middle and last
            third of their trajectory (Table 2); `strictly_rising_by_third` counts r_t > r_{t-1} alone,
            since by the letter 0 >= 0 rises.
        rollouts: of baselines and of the candidates of decided steps; those of the candidates of a step that
            was thrown away are not counted, their tokens are.
        lost_to_reload: tokens of steps that were thrown away because they saw two weight versions, with the
            baselines that were drawn for them.
        wall_s: seconds since the sampler was made.
        ledger: where every token went; None for a run that keeps no journal.
        effective_steps: how many independent steps the run's are worth, by their baselines: those of one task
            are alike. None without steps of a trajectory, or with one task.
        intervals: 95 % bootstrap intervals over tasks of every mean and share, by the names above;
            `rising_by_third` has one a third, as `rising_by_third.first`. Of a single task there are none.
    """

    tasks: int
    tasks_failed: int
    mean_outcome: float | None
    steps: int
    steps_by_outcome: dict[str, int]
    candidates: int
    candidates_per_step: float | None
    candidates_per_step_null: float | None
    pairs: int
    pairs_per_1000_rollouts: float | None
    no_pair: dict[str, int]
    rollouts: int
    turns: int
    tokens: Usage
    lost_to_reload: Usage
    rising_by_third: tuple[float | None, float | None, float | None]
    strictly_rising_by_third: tuple[float | None, float | None, float | None]
    retries: int
    wall_s: float
    ledger: Ledger | None = None
    effective_steps: float | None = None
    intervals: dict[str, tuple[float, float]] = {}


THIRDS = ("first", "middle", "last")

MOST_UNITS = 200
"""Tasks beyond so many are dealt into so many groups, whose sums are redrawn: as good an interval, in a time
that does not grow with the run."""


@dataclass(slots=True)
class _TaskSums:
    """What one task adds to the totals. `rising`: by third, steps, rising ones, strictly rising ones.

    `last` is its last baseline, which is lost with the step that it was drawn for.
    """

    ends: int = 0
    outcome: float = 0.0
    steps: int = 0
    candidates: int = 0
    pairs: int = 0
    rollouts: int = 0
    pools: list[tuple[float, ...]] = field(default_factory=list)
    baselines: list[float] = field(default_factory=list)
    rising: list[int] = field(default_factory=lambda: [0] * 9)
    last: Baseline | None = None


class RunStats:
    """Totals that follow a run event by event, in memory that grows with steps by a few numbers each.

    Args:
        rollouts: the method's m.
        max_candidates: the method's cap.
        min_candidates: fewest candidates that the method draws at a step.
        reestimate_duplicates: whether equal candidates cost rollouts of their own (rule 9).
        rule: by which a candidate rises, for the null; the paper's where the method has none.
    """

    def __init__(
        self,
        *,
        rollouts: int,
        max_candidates: int,
        min_candidates: int,
        reestimate_duplicates: bool,
        rule: Rule | None = None,
    ) -> None:
        self._rollouts = rollouts
        self._max_candidates = max_candidates
        self._min_candidates = min_candidates
        self._reestimate = reestimate_duplicates
        self._rises = _rises(rule)
        self._began = time.monotonic()
        self._outcomes: list[float] = []
        self._tasks: dict[str, _TaskSums] = {}
        self._open: dict[str, list[tuple[bool, bool]]] = {}
        self._step_outcomes: Counter[str] = Counter()
        self._no_pair: Counter[str] = Counter()
        self.tasks_finished = 0
        self._failed: set[str] = set()
        self.retries = 0
        self.wasted: Counter[str] = Counter()
        self.steps = 0
        self.candidates = 0
        self.pairs = 0
        self.rollouts = 0
        self.turns = 0
        self.tokens = Usage()
        self.lost = Usage()

    @property
    def tasks_failed(self) -> int:
        return len(self._failed)

    def add(self, event: Event) -> None:
        match event:
            case StepRecord():
                self._add_step(event)
            case Baseline():
                self.rollouts += len(event.estimate.outcomes)
                task = self._of(event)
                task.rollouts, task.last = task.rollouts + len(event.estimate.outcomes), event
                self.turns += event.turns
                self.tokens += event.usage
            case Searched():
                self.rollouts += event.rollouts
                self._of(event).rollouts += event.rollouts
                self.turns += event.turns
                self.tokens += event.usage
            case Discarded():
                self.lost += event.usage
                self.tokens += event.usage
                own = self._of(event).last
                if own is not None and (own.step, own.attempt) == (event.step, event.attempt):
                    self.lost += own.usage
            case TaskEnd():
                self.tasks_finished += 1
                self._failed.discard(event.task_id)  # a resumed run may take one up again
                self._outcomes.append(event.outcome)
                task = self._of(event)
                task.ends, task.outcome = task.ends + 1, task.outcome + event.outcome
                flags = self._open.pop(event.task_id, [])
                for position, (rising, strictly) in enumerate(flags):
                    at = 3 * min(2, 3 * position // len(flags))
                    for offset, count in enumerate((1, rising, strictly)):
                        task.rising[at + offset] += count
            case TaskFailed():
                self._failed.add(event.task_id)
            case Retried():
                self.retries += 1
            case Wasted():
                self.wasted[event.kind] += event.usage.completion_tokens
            case Resumed() | VersionChanged():
                pass

    def _add_step(self, record: StepRecord) -> None:
        task = self._of(record)
        self.steps, task.steps = self.steps + 1, task.steps + 1
        self.candidates += len(record.candidates)
        task.candidates += len(record.candidates)
        self._step_outcomes[record.outcome] += 1
        if record.no_pair is None:
            self.pairs, task.pairs = self.pairs + 1, task.pairs + 1
        else:
            self._no_pair[record.no_pair] += 1
        if record.record is not None:  # no trajectory's own step: no null, no thirds, its cost told apart
            return
        rollouts = rollouts_in(record, reestimates=self._reestimate)
        self.rollouts, task.rollouts = self.rollouts + rollouts, task.rollouts + rollouts
        self.turns += record.turns
        self.tokens += record.usage
        task.pools.append(pool_of(record, self._reestimate))
        task.baselines.append(record.baseline.reward)
        value, before = record.candidate(record.advance).reward, record.baseline.reward
        self._open.setdefault(record.task_id, []).append((value >= before, value > before))

    def summary(self) -> RunSummary:
        tasks = [self._tasks[name] for name in sorted(self._tasks)]  # whatever order they ended in
        nulls = self._nulls([task.pools for task in tasks])
        followed = sum(len(task.pools) for task in tasks)
        return RunSummary(
            tasks=self.tasks_finished,
            tasks_failed=self.tasks_failed,
            mean_outcome=exact_mean(self._outcomes) if self._outcomes else None,
            steps=self.steps,
            steps_by_outcome=dict(self._step_outcomes),
            candidates=self.candidates,
            candidates_per_step=self.candidates / self.steps if self.steps else None,
            candidates_per_step_null=sum(map(sum, nulls)) / followed if followed else None,
            pairs=self.pairs,
            pairs_per_1000_rollouts=1000 * self.pairs / self.rollouts if self.rollouts else None,
            no_pair=dict(self._no_pair),
            rollouts=self.rollouts,
            turns=self.turns,
            tokens=self.tokens,
            lost_to_reload=self.lost,
            rising_by_third=_shares(tasks, 1),
            strictly_rising_by_third=_shares(tasks, 2),
            retries=self.retries,
            wall_s=time.monotonic() - self._began,
            effective_steps=effective_sample_size([task.baselines for task in tasks])
            if followed and len(tasks) > 1
            else None,
            intervals=_intervals(tasks, [sum(null) for null in nulls]),
        )

    def _of(self, event: Event) -> _TaskSums:
        return self._tasks.setdefault(event.task_id, _TaskSums())

    def _nulls(self, pools: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
        """Of each task's steps; what is known of one prefix comes from all."""
        found = iter(
            candidates_nulls(
                list(chain.from_iterable(pools)),
                self._rollouts,
                self._max_candidates,
                self._min_candidates,
                rises=self._rises,
            )
        )
        return [list(islice(found, len(each))) for each in pools]


def rollouts_in(record: StepRecord, *, reestimates: bool) -> int:
    """Rollouts that were drawn for a step's candidates, and for its own action where that is none of them.

    Under `reuse="economy"` the first outcome of each offered candidate is a rollout of the baseline, which
    is not counted again; there are as many offers as the baseline has outcomes.

    Args:
        record: of a method that follows one trajectory.
        reestimates: equal candidates cost rollouts of their own (rule 9).
    """
    drawn = [*record.candidates, *filter(None, [record.prefix_action])]
    offered = len(record.baseline.outcomes) if record.correlated else 0
    return sum(
        len(each.estimate.outcomes) - (0 <= each.index < offered)
        for each in drawn
        if not each.estimate.terminal and (reestimates or each.duplicate_of is None)
    )


def _rises(rule: Rule | None) -> Rises | None:
    if rule is None or rule == Paper():
        return None
    return lambda baseline, candidate: rule.rises(Estimate(baseline), Estimate(candidate))


def _shares(tasks: Sequence[_TaskSums], which: int) -> tuple[float | None, float | None, float | None]:
    steps = [sum(task.rising[at] for task in tasks) for at in (0, 3, 6)]
    rising = [sum(task.rising[at + which] for task in tasks) for at in (0, 3, 6)]
    first, middle, last = (k / n if n else None for k, n in zip(rising, steps, strict=True))
    return first, middle, last


_RISING = 7
"""Where the counts by third begin in a unit's sums."""


def _intervals(tasks: Sequence[_TaskSums], nulls: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Tasks are redrawn, not steps: what happened within one hangs together."""
    if len(tasks) < 2:
        return {}
    rows = [
        (t.ends, t.outcome, t.steps, t.candidates, t.pairs, t.rollouts, null, *t.rising, len(t.pools))
        for t, null in zip(tasks, nulls, strict=True)
    ]
    groups = [rows[at::MOST_UNITS] for at in range(min(MOST_UNITS, len(rows)))]
    units = Counter(tuple(map(float, map(sum, zip(*group, strict=True)))) for group in groups)
    ratios = {
        "mean_outcome": (1, 0),
        "candidates_per_step": (3, 2),
        "candidates_per_step_null": (6, _RISING + 9),
        "pairs_per_1000_rollouts": (4, 5),
        **{
            f"{name}.{third}": (_RISING + 3 * at + which, _RISING + 3 * at)
            for which, name in ((1, "rising_by_third"), (2, "strictly_rising_by_third"))
            for at, third in enumerate(THIRDS)
        },
    }
    found = zip(ratios, bootstrap_ratios(units, list(ratios.values())), strict=True)
    scale = {"pairs_per_1000_rollouts": 1000.0}
    return {
        name: (scale.get(name, 1.0) * low_high[0], scale.get(name, 1.0) * low_high[1])
        for name, low_high in found
        if low_high is not None
    }
