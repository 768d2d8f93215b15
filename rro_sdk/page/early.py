"""What can be told of a run at once, before its journal is read through: from the index of its events.

The texts are most of a journal; how many steps there are, and which task came when, is in a narrow index.
"""

from __future__ import annotations

from typing import NamedTuple

from rro_sdk.journal import Journal
from rro_sdk.page.figures import FigureSums
from rro_sdk.page.index import TaskPage, TaskQuery
from rro_sdk.page.reading import facts_of, rows
from rro_sdk.page.task_rows import TaskRows

_TASKS_IN_ORDER = """
SELECT task_id, count(*) OVER () FROM (
  SELECT task_id, min(seq) AS first FROM event WHERE task_id <> '' GROUP BY task_id
) ORDER BY first LIMIT ? OFFSET ?
"""

_NEIGHBOUR = """
SELECT task_id, min(seq) AS first FROM event WHERE task_id <> '' GROUP BY task_id
HAVING first {sign} (SELECT min(seq) FROM event WHERE task_id = ?) ORDER BY first {way} LIMIT 1
"""

_COUNTS = """
SELECT coalesce(sum(once >= 'StepRecord/' AND once < 'StepRecord0'), 0), coalesce(sum(once = 'TaskEnd'), 0),
  coalesce((SELECT at FROM event ORDER BY seq DESC LIMIT 1), 0) FROM event
"""


class Recorded(NamedTuple):
    """Steps and ended tasks of a run, and when it last recorded anything."""

    steps: int
    finished: int
    last_at: float


def recorded_of(journal: Journal) -> Recorded | None:
    """How much there is; None for a run of version 1, which has no such index.

    Raises:
        JournalError: the journal cannot be read.
    """
    return Recorded(*next(rows(journal.path, _COUNTS))) if _indexed(journal) else None


def early_page(journal: Journal, query: TaskQuery) -> TaskPage | None:
    """The page of one run's table that a query asks for, from the events of its own tasks.

    Args:
        journal: the run's.
        query: checked.

    Returns:
        None where the query needs all tasks: to find some, or to order them.

    Raises:
        JournalError: the journal is damaged.
    """
    plain = TaskQuery(offset=query.offset, limit=query.limit)
    if query != plain or not _indexed(journal):
        return None
    found = list(rows(journal.path, _TASKS_IN_ORDER, (query.limit, query.offset)))
    if not found:
        return None
    made = TaskRows(FigureSums(), query.offset)
    # In the order of their beginnings: the first event of each is among those that are read.
    for _, at, facts in facts_of(journal, [task_id for task_id, _ in found]):
        made.add(at, facts)
    return TaskPage(found[0][1], [[row] for row in made.changed()])


def early_neighbours(journal: Journal, task_id: str) -> tuple[str | None, str | None] | None:
    """As `TaskTable.neighbours`, from the index; None for a run of version 1.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not _indexed(journal):
        return None
    before, after = (
        next((str(found) for found, _ in rows(journal.path, query, (task_id,))), None)
        for query in (_NEIGHBOUR.format(sign="<", way="DESC"), _NEIGHBOUR.format(sign=">", way="ASC"))
    )
    return before, after


def _indexed(journal: Journal) -> bool:
    return any(True for _ in rows(journal.path, "SELECT 1 FROM sqlite_master WHERE name = 'event_once'"))
