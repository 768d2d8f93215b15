"""What the page asks for, answered from one run or two. The server and the single file share it.

A journal is read through once, then what is new. What can be told before that is told (`early.py`); what
takes longer still (the summary's intervals, a scan of every reply) is computed once, and again when the run
has grown: `Figures` says what is not there yet.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from rro_sdk.errors import ConfigError, JournalError
from rro_sdk.journal import Journal
from rro_sdk.page.early import early_neighbours, early_page, recorded_of
from rro_sdk.page.figures import Null, Plots, null_of
from rro_sdk.page.index import RunIndex, TaskPage, TaskQuery, TaskTable
from rro_sdk.page.servers import Use, use_of
from rro_sdk.page.trajectory import ReplyView, TrajectoryView, Where, replies_of, trajectory_of
from rro_sdk.page.verdict import in_words, rule_of
from rro_sdk.report.summary import RunSummary
from rro_sdk.report.text import SUMMARY_NAME, summary_of
from rro_sdk.types import Estimate

Part = Literal["early", "decisions", "all"]
"""Of a run's figures: how long to wait for them."""


class RunView(msgspec.Struct, frozen=True):
    """What a run was made with.

    Attributes:
        name: of its folder.
        created: ISO time.
        environment: name of the environment.
        method: name and settings of the method.
        rule: what the method's rule asks of a candidate, in symbols; "" without one.
        seed: the run's.
        model: what the servers served.
        servers: their addresses.
    """

    name: str
    created: str
    environment: str
    method: dict[str, Any]
    rule: str
    seed: int
    model: dict[str, str]
    servers: list[str]


class Progress(msgspec.Struct, frozen=True):
    """How much of the journals was read: events, of those that are recorded."""

    read: int
    recorded: int


class Figures(msgspec.Struct, frozen=True):
    """What the summary shows.

    Attributes:
        plots: from the decisions; None until the journal is read.
        summary: the run's numbers; None until they are computed.
        use: of the servers; None until it is computed, or where nothing is recorded.
        ready: whether all of it is there.
    """

    plots: Plots | None = None
    summary: RunSummary | None = None
    use: Use | None = None
    ready: bool = False


class TaskView(msgspec.Struct, frozen=True):
    """A task in each run that is shown, and its neighbours in the first."""

    trajectories: list[TrajectoryView | None]
    before: str | None
    after: str | None


class Runs:
    """One run, or two to compare. Every method may be called from any thread.

    Args:
        folders: of the runs.

    Raises:
        ConfigError: a folder holds no run.
        JournalError: a journal cannot be read.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = list(folders)
        self._lock = threading.Lock()
        self._due = True
        self._begun = False
        self._table = TaskTable()
        self._journals: list[Journal] = []
        try:
            for folder in folders:
                self._journals.append(Journal.open(folder))
            self._runs = [_Run(journal, self._table, at) for at, journal in enumerate(self._journals)]
        except BaseException:
            self.close()
            raise

    def progress(self) -> Progress:
        """How far the journals were read; answers while they are."""
        recorded = 0
        for folder in self._folders:
            with Journal.open(folder) as journal:
                recorded += journal.last_seq()
        return Progress(sum(run.seen for run in self._runs), recorded)

    def runs(self) -> list[RunView]:
        """The runs. What they recorded until now is read for the answers that follow."""
        self._due = True
        return [run.view(name) for run, name in zip(self._runs, _names(self._folders), strict=True)]

    def read(self) -> None:
        """Read what was recorded until `runs` was asked last.

        Raises:
            JournalError: a journal is damaged.
        """
        with self._lock:
            if not self._due:
                return
            self._due = False  # before it is read, for who asks meanwhile
            try:
                for run in self._runs:
                    run.catch_up()
            except BaseException:
                self._due = True
                raise
            self._begun = True

    def figures(self, run: int, part: Part = "all") -> Figures:
        """A run's figures.

        Args:
            run: which.
            part: `early` waits for nothing: the numbers that the run left of itself, if they are of all that
                it recorded. `decisions` waits until the journal is read; `all` goes through its replies too.

        Raises:
            JournalError: the journal is damaged.
        """
        if part == "early" and not self._begun:
            return self._runs[run].early()
        self.read()
        return self._runs[run].complete() if part == "all" else self._runs[run].figures()

    def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of the table of tasks; raises as `TaskTable.page`."""
        query.check(len(self._runs))
        if not self._begun and len(self._runs) == 1:
            with Journal.open(self._folders[0]) as journal:
                if (found := early_page(journal, query)) is not None:
                    return found
        self.read()
        with self._lock:
            return self._table.page(query, len(self._runs))

    def task(self, task_id: str) -> TaskView:
        """A task in each run.

        Raises:
            ConfigError: no run has it.
        """
        found: list[TrajectoryView | None] = []
        for folder in self._folders:
            with Journal.open(folder) as journal:
                try:
                    found.append(trajectory_of(journal, task_id))
                except ConfigError:
                    found.append(None)
        if not any(found):
            raise ConfigError("no task has that id")
        return TaskView(found, *self._neighbours(task_id))

    def _neighbours(self, task_id: str) -> tuple[str | None, str | None]:
        if not self._begun:
            with Journal.open(self._folders[0]) as journal:
                if (found := early_neighbours(journal, task_id)) is not None:
                    return found
        self.read()
        with self._lock:
            return self._table.neighbours(0, task_id)

    def replies(self, run: int, task_id: str, where: Where | None = None) -> dict[str, list[ReplyView]]:
        """What was said in one rollout of a task, or in all."""
        with Journal.open(self._folders[run]) as journal:
            return replies_of(journal, task_id, where)

    def __len__(self) -> int:
        return len(self._folders)

    def close(self) -> None:
        """Close the journals. Safe to call twice."""
        for journal in self._journals:
            journal.close()
        self._journals = []
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Run:
    """One run: its index, and the figures that were computed last, with the event that they go up to."""

    def __init__(self, journal: Journal, table: TaskTable, number: int) -> None:
        self._folder = journal.path.parent
        self._header = journal.header()
        self._index = RunIndex(journal, table, number)
        self._counting = threading.Lock()
        self._busy = threading.Lock()
        self._figures = -1, Figures()

    @property
    def seen(self) -> int:
        return self._index.seen

    def catch_up(self) -> None:
        with self._counting:
            self._index.catch_up()

    def view(self, name: str) -> RunView:
        header = self._header
        return RunView(
            name=name,
            created=header.created,
            environment=header.environment,
            method=header.method,
            rule=in_words(rule_of(header.method)),
            seed=header.seed,
            model=header.model,
            servers=list(header.servers),
        )

    def early(self) -> Figures:
        found, written_at = self._summary_file()
        if found is None:
            return Figures()
        with Journal.open(self._folder) as journal:
            recorded = recorded_of(journal)
        if recorded is None or written_at < recorded.last_at:
            return Figures()
        same = (found.steps, found.tasks) == (recorded.steps, recorded.finished)
        return Figures(summary=found if same else None)

    def figures(self) -> Figures:
        seen, known = self._figures
        if seen == self._index.seen:
            return known
        with self._counting:
            return Figures(self._index.sums.plots(), self._written_summary())

    def complete(self) -> Figures:
        with self._busy:  # the second caller finds what the first computed
            seen, known = self._figures
            if seen != self._index.seen:
                with self._counting:
                    seen, pauses = self._index.seen, list(self._index.pauses)
                    plots, summary = self._index.sums.plots(self._null()), self._written_summary()
                with Journal.open(self._folder) as journal:
                    summary = summary or summary_of(journal)
                    use = use_of(journal, pauses)
                known = Figures(plots, summary, use, ready=True)
                self._figures = seen, known
            return known

    def _null(self) -> Null:
        rule = rule_of(self._header.method)
        if rule is None:
            return null_of(self._header.method, None)
        return null_of(
            self._header.method,
            lambda baseline, candidate: rule.rises(Estimate(baseline), Estimate(candidate)),
        )

    def _written_summary(self) -> RunSummary | None:
        """The summary that the run left, where it is of all that was recorded."""
        found, _ = self._summary_file()
        if found is None:
            return None
        sums = self._index.sums
        same = (found.steps, found.tasks, found.pairs) == (sums.steps, sums.finished, sums.pairs)
        return found if same else None

    def _summary_file(self) -> tuple[RunSummary | None, float]:
        """The summary that the run left, with its ledger, and when it was written."""
        path = self._folder / SUMMARY_NAME
        try:
            written_at = path.stat().st_mtime  # of what is read next, or of what was there before it
            found = msgspec.json.decode(path.read_bytes(), type=RunSummary)
            return (found if found.ledger is not None else None), written_at
        except (OSError, msgspec.DecodeError):
            return None, 0.0


def _names(folders: Sequence[Path]) -> list[str]:
    """What tells the runs apart: their folders' names, with as many parents as that needs."""
    paths = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-count:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{parts[-1]} ({at})" for at, parts in enumerate(paths, 1)]


__all__ = ["Figures", "JournalError", "Part", "Progress", "RunView", "Runs", "TaskView"]
