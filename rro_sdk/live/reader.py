"""Follows a run from its journal and its sampler's status, a bounded bit at a time, and never writes."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from rro_sdk.journal import Journal
from rro_sdk.live.fold import RunFold
from rro_sdk.live.status import STATUS_NAME, Phase, SamplerStatus, phase_of
from rro_sdk.live.view import View
from rro_sdk.report.text import rule_of

EVENTS_AT_ONCE = 128
"""Events in one query, which a look takes at least: some milliseconds, and at most some megabytes of prompts
that are not shown."""

TASKS_AT_ONCE = 32
"""Tasks in one query of what they cost, which a look takes at least: some thousand replies."""

NULLS_AT_ONCE = 16

QUIET_LOOKS = 8
"""Looks in a row that found nothing new, after which the null is of all steps: computed after every step of a
run that goes on it would take a core's percents."""


class RunReader:
    """What there is to see of a run, read from where the last look ended.

    Args:
        run_dir: the run's folder.
        budget_s: how long one look may read; what is left then is for the next one.

    Raises:
        ConfigError: there is no run.
        JournalError: its journal cannot be read.
    """

    def __init__(self, run_dir: Path, *, budget_s: float) -> None:
        self._dir = run_dir
        self._budget_s = budget_s
        self._journal = Journal.open(run_dir)
        try:
            header = self._journal.header()
            self._fold = RunFold(header, rule_of(header.method))
        except BaseException:
            self._journal.close()
            raise
        self._seq = 0
        self._quiet = 0

    def look(self) -> View:
        """Read on for the time that a look has, and say how the run is now.

        Raises:
            JournalError: the journal is damaged.
        """
        status, last, before = self._status(), self._journal.last_seq(), self._seq
        until = time.monotonic() + self._budget_s
        # What a task cost is read a look after its end: its last replies may be on their way.
        while self._read_spending() and not _over(until):
            pass
        while self._read_events() and not _over(until):
            pass
        if not _over(until):
            self._fold.estimate_nulls(NULLS_AT_ONCE)
        self._quiet = self._quiet + 1 if self._seq == before else 0
        return self._view(status, last, exact=self._quiet >= QUIET_LOOKS)

    def look_at_all(self, limit_s: float | None = None, *, phase: Phase | None = None) -> View:
        """Read everything that there is, as for a run that ended, or for one look.

        Args:
            limit_s: how long it may take; None for as long as it takes.
            phase: where the caller knows better than the sampler has told so far.

        Raises:
            JournalError: the journal is damaged.
        """
        status, last = self._status(), self._journal.last_seq()
        until = None if limit_s is None else time.monotonic() + limit_s
        while self._read_events() and not _over(until):
            pass
        if not _over(until):
            self._fold.open(self._journal.begun())
        while self._read_spending() and not _over(until):
            pass
        while not _over(until) and self._fold.estimate_nulls(NULLS_AT_ONCE):
            pass
        return self._view(status, last, phase)

    def _read_spending(self) -> bool:
        """Whether there may be more."""
        due = self._fold.due(TASKS_AT_ONCE)
        if due:
            self._fold.spend(due, self._journal.spent_by(due))
        return len(due) == TASKS_AT_ONCE

    def _read_events(self) -> bool:
        """Whether there may be more."""
        self._seq, events = self._journal.events_after(self._seq, EVENTS_AT_ONCE)
        for event in events:
            self._fold.add(event)
        return len(events) == EVENTS_AT_ONCE

    def _view(
        self, status: SamplerStatus | None, last: int, phase: Phase | None = None, *, exact: bool = True
    ) -> View:
        now = time.time()
        return self._fold.view(
            str(self._dir),
            status,
            phase or phase_of(status, now=now, alive=_alive(status)),
            now=now,
            read=min(1.0, self._seq / last) if last else 1.0,
            exact=exact,
        )

    def _status(self) -> SamplerStatus | None:
        try:
            return msgspec.json.decode((self._dir / STATUS_NAME).read_bytes(), type=SamplerStatus)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):  # none, or another version's
            return None

    def close(self) -> None:
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _over(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


def _alive(status: SamplerStatus | None) -> bool | None:
    """Whether the sampler's process is there; None where another machine has it."""
    if status is None or status.host != platform.node():
        return None
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
