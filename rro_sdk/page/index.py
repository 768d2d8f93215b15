"""The table of tasks: filtered, searched, sorted, a page at a time.

Rows live in an SQLite database in memory, one for all runs that are shown, so that two runs are one join. It
follows the journals: `RunIndex.catch_up` reads what is new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Literal, Self

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.journal import Journal
from rro_sdk.page.figures import FigureSums
from rro_sdk.page.reading import facts_after
from rro_sdk.page.task_rows import TaskRow, TaskRows
from rro_sdk.types import Resumed

MOST_ROWS = 500
"""Of one page of the table."""

_CREATE = """
CREATE TABLE task (
  run INTEGER, position INTEGER, id TEXT, opening TEXT, state TEXT, outcome REAL, steps INTEGER,
  candidates INTEGER, pairs INTEGER, risen INTEGER, exhausted INTEGER, first REAL, last REAL, seconds REAL,
  why TEXT, PRIMARY KEY (run, id)
) WITHOUT ROWID;
CREATE INDEX by_position ON task (run, position);
"""

_INSERT = f"INSERT OR REPLACE INTO task VALUES ({', '.join('?' * 15)})"


class TaskQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tasks, in which order.

    Attributes:
        q: in the task's id or opening, whatever the case.
        state: that it is in.
        outcome: `solved` is 1, `failed` 0, `partial` between.
        pairs: whether it has any.
        verdict: whether any of its steps ended so.
        differ: of two runs, tasks whose outcomes differ alone.
        sort: by which column; that of the second run ends in `_b`.
        down: from the largest.
        offset: rows to leave out.
        limit: rows at most.
    """

    q: str = ""
    state: Literal["", "open", "finished", "set aside"] = ""
    outcome: Literal["", "solved", "partial", "failed"] = ""
    pairs: Literal["", "yes", "no"] = ""
    verdict: Literal["", "risen", "exhausted"] = ""
    differ: bool = False
    sort: str = "position"
    down: bool = False
    offset: int = 0
    limit: int = 50

    def check(self, runs: int) -> None:
        """Raise unless a table of so many runs can answer it.

        Raises:
            ConfigError: no such column to sort by, or a page that cannot be.
        """
        if self.sort not in _SORTS or (runs == 1 and "b." in _SORTS[self.sort]):
            raise ConfigError(f"tasks cannot be sorted by {self.sort!r}; use {', '.join(_SORTS)}")
        if not 0 <= self.offset < 2**53 or not 1 <= self.limit <= MOST_ROWS:
            raise ConfigError(f"a page has 1 to {MOST_ROWS} rows and an offset of at least 0")


class TaskPage(msgspec.Struct, frozen=True):
    """Rows of a query, and how many there are without its limit.

    `rows` has one list a task, with its row in each run; None where a run does not have the task.
    """

    total: int
    rows: list[list[TaskRow | None]]


_COLUMNS = TaskRow.__struct_fields__
_NUMBERS = ("outcome", "steps", "candidates", "pairs", "risen", "exhausted", "first", "last", "seconds")
_SORTS = {
    "position": "a.position",
    "id": "coalesce(a.id, b.id)",
    "opening": "a.opening",
    "state": "a.state",
    **{name: f"a.{name}" for name in _NUMBERS},
    **{f"{name}_b": f"b.{name}" for name in _NUMBERS},
    "difference": "b.outcome - a.outcome",
}
_OUTCOMES = {
    "solved": "a.outcome = 1",
    "failed": "a.outcome = 0",
    "partial": "a.outcome > 0 AND a.outcome < 1",
}


class TaskTable:
    """The rows of every run that is shown."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._rows.executescript(_CREATE)
        self._waiting: dict[tuple[int, str], TaskRow] = {}

    def put(self, run: int, rows: Iterable[TaskRow]) -> None:
        """Add rows, or replace those of the same task. They are written when somebody asks for any: the
        summary is shown without them."""
        self._waiting.update(((run, row.id), row) for row in rows)

    def _write(self) -> None:
        if self._waiting:
            self._rows.execute("BEGIN")
            self._rows.executemany(
                _INSERT, ((run, *msgspec.structs.astuple(row)) for (run, _), row in self._waiting.items())
            )
            self._rows.execute("COMMIT")
            self._waiting = {}

    def page(self, query: TaskQuery, runs: int = 1) -> TaskPage:
        """A page of the table.

        Args:
            query: which rows. With two runs its conditions hold of the first.
            runs: 1 or 2; with 2 a row is a task of either.

        Raises:
            ConfigError: as `TaskQuery.check`.
        """
        query.check(runs)
        self._write()
        where, values = _conditions(query, runs)
        tables = "(SELECT * FROM task WHERE run = 0) a"
        if runs == 2:
            tables = (
                "(SELECT id, min(run * 1000000000 + position) AS place FROM task GROUP BY id) either"
                " LEFT JOIN task a ON a.run = 0 AND a.id = either.id"
                " LEFT JOIN task b ON b.run = 1 AND b.id = either.id"
            )
        order, way = _SORTS[query.sort], "DESC" if query.down else "ASC"
        came = "either.place" if runs == 2 else "a.position"
        if query.sort == "position":
            order = came
        (total,) = self._rows.execute(f"SELECT count(*) FROM {tables} WHERE {where}", values).fetchone()
        found = self._rows.execute(
            f"SELECT {_selected(runs)} FROM {tables} WHERE {where}"
            f" ORDER BY {order} IS NULL, {order} {way}, {came} LIMIT ? OFFSET ?",
            (*values, query.limit, query.offset),
        ).fetchall()
        width = len(_COLUMNS)
        return TaskPage(
            total, [[_row(line[at : at + width]) for at in range(0, len(line), width)] for line in found]
        )

    def neighbours(self, run: int, task_id: str) -> tuple[str | None, str | None]:
        """The tasks before and after one, in the order in which the run came to them."""
        self._write()
        found = []
        for sign, way in (("<", "DESC"), (">", "ASC")):
            row = self._rows.execute(
                f"SELECT id FROM task WHERE run = ?1 AND position {sign}"
                f" (SELECT position FROM task WHERE run = ?1 AND id = ?2) ORDER BY position {way} LIMIT 1",
                (run, task_id),
            ).fetchone()
            found.append(None if row is None else str(row[0]))
        return found[0], found[1]

    def close(self) -> None:
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RunIndex:
    """What is kept of one run: its rows in the table, and the sums behind its plots.

    Args:
        journal: open for reading; the caller closes it.
        table: where its rows go.
        number: the run's in the table.

    Attributes:
        sums: behind the plots.
        pauses: times between a stop and its resume.
        seen: number of the last event that was read.
    """

    def __init__(self, journal: Journal, table: TaskTable, number: int) -> None:
        self.sums = FigureSums(reestimates=bool(journal.header().method.get("reestimate_duplicates")))
        self.pauses: list[tuple[float, float]] = []
        self._journal = journal
        self._table = table
        self._number = number
        self._tasks = TaskRows(self.sums)
        self.seen = 0
        self._last_at: float | None = None

    def catch_up(self) -> int:
        """Read what was recorded since the last time.

        Returns:
            How many events that were.

        Raises:
            JournalError: the journal is damaged.
        """
        before = self.seen
        for number, at, facts in facts_after(self._journal, before):
            self.seen = number
            if isinstance(facts, Resumed) and self._last_at is not None:
                self.pauses.append((self._last_at, at))
            self._last_at = at
            self._tasks.add(at, facts)
        self._table.put(self._number, self._tasks.changed())
        return self.seen - before


def _conditions(query: TaskQuery, runs: int) -> tuple[str, list[Any]]:
    where, values = ["1"], list[Any]()
    if query.q:
        sides = "ab"[:runs]
        texts = " || ' ' || ".join(
            f"coalesce({side}.id, '') || ' ' || coalesce({side}.opening, '')" for side in sides
        )
        pattern = "".join(f"\\{letter}" if letter in "\\%_" else letter for letter in query.q)
        where.append(f"({texts}) LIKE ? ESCAPE '\\'")
        values.append(f"%{pattern}%")
    if query.state:
        where.append("a.state = ?")
        values.append(query.state)
    if query.outcome:
        where.append(_OUTCOMES[query.outcome])
    if query.pairs:
        where.append("a.pairs > 0" if query.pairs == "yes" else "a.pairs = 0")
    if query.verdict:
        where.append(f"a.{query.verdict} > 0")
    if query.differ and runs == 2:
        where.append("a.outcome IS NOT b.outcome")
    return " AND ".join(where), values


def _selected(runs: int) -> str:
    return ", ".join(f"{side}.{column}" for side in "ab"[:runs] for column in _COLUMNS)


def _row(values: tuple[Any, ...]) -> TaskRow | None:
    return None if values[0] is None else TaskRow(*values)
