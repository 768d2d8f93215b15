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
from rro_sdk.live.status import STATUS_NAME, SamplerStatus, phase_of
from rro_sdk.live.view import View
from rro_sdk.report.text import rule_of

EVENTS_AT_ONCE = 64
"""Events in one query: a few milliseconds, and no more than some megabytes of prompts that are not shown."""

TASKS_AT_ONCE = 16
"""Tasks in one query of what they cost: some thousand replies."""

NULLS_AT_ONCE = 16


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

    def look(self) -> View:
        """Read on for the time that a look has, and say how the run is now.

        Raises:
            JournalError: the journal is damaged.
        """
        status = self._status()
        self._read(until=time.monotonic() + self._budget_s)
        return self._view(status)

    def look_at_all(self) -> View:
        """Read everything that there is, however long it takes; for a run that ended, or for one look.

        Raises:
            JournalError: the journal is damaged.
        """
        status = self._status()
        while self._read(until=None):
            pass
        self._fold.open(self._journal.begun())
        while due := self._fold.due(TASKS_AT_ONCE):
            self._fold.spend(due, self._journal.spent_by(due))
        while self._fold.estimate_nulls(NULLS_AT_ONCE):
            pass
        return self._view(status)

    def _read(self, until: float | None) -> bool:
        """Whether there was anything new."""
        # What a task cost is read a look after it changed: its last replies may be on their way.
        due = self._fold.due(None if until is None else 10 * TASKS_AT_ONCE)
        for start in range(0, len(due), TASKS_AT_ONCE):
            if _over(until):
                break
            some = due[start : start + TASKS_AT_ONCE]
            self._fold.spend(some, self._journal.spent_by(some))
        new = False
        while not _over(until):
            before = self._seq
            self._seq, events = self._journal.events_after(before, EVENTS_AT_ONCE)
            for event in events:
                self._fold.add(event)
            if self._seq == before:
                break
            new = True
        if not _over(until):
            self._fold.estimate_nulls(NULLS_AT_ONCE)
        return new

    def _view(self, status: SamplerStatus | None) -> View:
        now = time.time()
        last = self._journal.last_seq()
        return self._fold.view(
            str(self._dir),
            status,
            phase_of(status, now=now, alive=_alive(status)),
            now=now,
            read=min(1.0, self._seq / last) if last else 1.0,
        )

    def _status(self) -> SamplerStatus | None:
        try:
            return msgspec.json.decode((self._dir / STATUS_NAME).read_bytes(), type=SamplerStatus)
        except (OSError, msgspec.DecodeError):  # none, or one of another version of the SDK
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
