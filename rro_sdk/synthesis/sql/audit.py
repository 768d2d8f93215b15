"""What holds for a set of tasks: counted on the tasks themselves, whoever made them. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from rro_sdk.synthesis.sql.generate import SyntheticTask
from rro_sdk.synthesis.sql.wording import plain


class Audit(msgspec.Struct, frozen=True):
    """Figures of a set of tasks.

    Attributes:
        tasks: how many.
        duplicates: questions that occur again, in any case and spacing.
        shared_questions: questions, or statements of one database, that stand in two splits.
        shared_databases: databases that stand in two splits.
        splits, hardness, templates, databases: tasks by each.
        steps: experts by their number of turns.
        mistakes: experts that correct a wrong statement.
    """

    tasks: int
    duplicates: int
    shared_questions: int
    shared_databases: int
    splits: dict[str, int]
    hardness: dict[str, int]
    templates: dict[str, int]
    databases: dict[str, int]
    steps: dict[int, int]
    mistakes: int


def audit(tasks: Sequence[SyntheticTask]) -> Audit:
    """Count."""
    questions = Counter(plain(task.query) for task in tasks)
    asked: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    held: defaultdict[str, set[str]] = defaultdict(set)
    for task in tasks:
        asked["question", plain(task.query)].add(task.split)
        asked["gold", task.db, plain(task.gold)].add(task.split)
        held[task.db].add(task.split)
    return Audit(
        tasks=len(tasks),
        duplicates=len(tasks) - len(questions),
        shared_questions=sum(len(splits) > 1 for splits in asked.values()),
        shared_databases=sum(len(splits) > 1 for splits in held.values()),
        splits=_counted([task.split for task in tasks]),
        hardness=_counted([task.hardness for task in tasks]),
        templates=_counted([task.template for task in tasks]),
        databases=_counted([task.db for task in tasks]),
        steps=dict(sorted(Counter(len(task.expert) for task in tasks).items())),
        mistakes=sum(any(turn.mistake for turn in task.expert) for task in tasks),
    )


def _counted(names: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
