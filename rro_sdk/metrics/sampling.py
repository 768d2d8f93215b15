"""When a sampling run's numbers are told, and from what they are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rro_sdk.metrics.base import Metrics, Told
from rro_sdk.metrics.values import Mark, summary_values, tokens_per_s
from rro_sdk.report.summary import RunStats, RunSummary

EVERY_S = 10.0
"""Dashboards poll a few times a minute; nobody sees a finer line."""

MOST_SHARE = 0.02
"""Of the run's time that may go into its numbers: those of a long run take longer to make, and are then
made less often."""


class SamplingMetrics:
    """Tells sinks how a run goes on. `Sampler(metrics=...)` makes one.

    Args:
        stats: the run's totals.
        sinks: where the numbers go; closed by whoever made them.
        every_s: seconds between two tellings, at least.
        clock: seconds of a steady clock.
        more: numbers of the moment that are no part of the totals.
    """

    def __init__(
        self,
        stats: RunStats,
        sinks: Sequence[Metrics],
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        more: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._stats = stats
        self._told = Told(sinks)
        self._every_s = every_s
        self._clock = clock
        self._more = more
        self._mark = Mark(clock(), stats.tokens.completion_tokens)
        self._due = clock() + every_s

    def add(self, sinks: Sequence[Metrics]) -> None:
        """Tell these too from now on."""
        self._told.add(sinks)

    def update(self) -> None:
        """Call after each event; tells the sinks when it is time."""
        if self._told and self._clock() >= self._due:
            self.tell()

    def tell(self) -> None:
        """Tell the sinks now."""
        if not self._told:
            return
        began = self._clock()
        now = Mark(began, self._stats.tokens.completion_tokens)
        values = summary_values(self._stats.summary(), self._stats.wasted)
        values |= {"tokens_per_s": tokens_per_s(self._mark, now), **self._more()}
        self._told.log(values, self._stats.steps)
        self._mark = now
        done = self._clock()
        self._due = done + max(self._every_s, (done - began) / MOST_SHARE)


def tell_summary(summary: RunSummary, sinks: Sequence[Metrics]) -> None:
    """Tell the sinks how a run ended, its whole ledger included."""
    Told(sinks).log(summary_values(summary), summary.steps)
