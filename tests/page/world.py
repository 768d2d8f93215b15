"""A small world for the page's tests and pictures: questions about a lending library, answered in SQL.

The environment is a real SQLite database; the policy is a fake server's, which draws one of a few plausible
queries by seed and does better once it has looked at the table. Outcomes are the overlap of the submitted
rows with the right ones, so rewards come in all sizes.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.envs.registry import Suite
from rro_sdk.types import Observation, Task

TITLES = ("The Tin Lantern", "Salt Roads", "A Cartographer's Year", "Low Tide", "Winter Bees", "Orchards")
BRANCHES = ("Harbour", "Northgate", "Old Mill", "Riverside")
WORDS = ("check", "look at", "start from", "go by", "narrow down")

QUESTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Which titles were lent out at the {branch} branch and never returned?",
        "SELECT DISTINCT title FROM loans WHERE branch = '{branch}' AND returned IS NULL",
        (
            "SELECT title FROM loans WHERE returned IS NULL",
            "SELECT DISTINCT title FROM loans WHERE branch = '{branch}'",
            "SELECT title FROM loans WHERE branch = '{branch}' AND returned = ''",
            "SELECT titel FROM loans WHERE branch = '{branch}'",
        ),
    ),
    (
        "Which members borrowed '{title}', and at which branches?",
        "SELECT DISTINCT member, branch FROM loans WHERE title = '{title}'",
        (
            "SELECT DISTINCT member FROM loans WHERE title = '{title}'",
            "SELECT DISTINCT member, branch FROM loans WHERE title LIKE '%{word}%'",
            "SELECT member, branch FROM loans",
            "SELECT member, branch FROM members WHERE title = '{title}'",
        ),
    ),
    (
        "How many loans of each title does {branch} have that took longer than three weeks?",
        "SELECT title, count(*) FROM loans WHERE branch = '{branch}' AND days > 21 GROUP BY title",
        (
            "SELECT title, count(*) FROM loans WHERE branch = '{branch}' AND days >= 21 GROUP BY title",
            "SELECT title, count(*) FROM loans WHERE days > 21 GROUP BY title",
            "SELECT count(*) FROM loans WHERE branch = '{branch}' AND days > 21",
            "SELECT title, sum(days) FROM loans WHERE branch = '{branch}' GROUP BY title",
        ),
    ),
)

LOOK = "SELECT * FROM loans LIMIT 3"


def _database() -> sqlite3.Connection:
    rng = random.Random(7)
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute("CREATE TABLE loans (member TEXT, title TEXT, branch TEXT, days INTEGER, returned TEXT)")
    for number in range(180):
        days = rng.randrange(3, 60)
        returned = None if rng.random() < 0.3 else f"2026-{1 + number % 12:02}-{1 + number % 28:02}"
        row = (f"M-{rng.randrange(100, 140)}", rng.choice(TITLES), rng.choice(BRANCHES), days, returned)
        database.execute("INSERT INTO loans VALUES (?, ?, ?, ?, ?)", row)
    database.execute("PRAGMA query_only = 1")
    return database


def tasks(count: int) -> list[Task]:
    """So many questions, each with its answer."""
    made = []
    for number in range(count):
        question, gold, wrong = QUESTIONS[number % len(QUESTIONS)]
        title = TITLES[number % len(TITLES)]
        names = {"branch": BRANCHES[number // 3 % len(BRANCHES)], "title": title, "word": title.split()[-1]}
        names = {name: value.replace("'", "''") for name, value in names.items()}
        made.append(
            Task(
                f"loans-{number:03}",
                question.format(**{name: value.replace("''", "'") for name, value in names.items()}),
                {"gold": gold.format(**names), "wrong": [each.format(**names) for each in wrong]},
            )
        )
    return made


class Library(Environment):
    """See the module."""

    name = "library"
    max_steps = 5
    instructions = (
        "You answer questions about a lending library's loans with SQL. The table is loans(member, title,"
        " branch, days, returned). Write one query a turn. When its rows are the answer, say: submit."
    )

    def __init__(self) -> None:
        self._database = _database()

    async def start(self, task: Task) -> Episode:
        return _Question(self._database, task)


class _Question(Episode):
    def __init__(self, database: sqlite3.Connection, task: Task, rows: tuple[Any, ...] = ()) -> None:
        self._database = database
        self._task = task
        self._rows = rows

    @property
    def opening(self) -> str:
        return self._task.instruction

    async def step(self, command: str) -> Observation:
        if command.strip() == "submit":
            return Observation("Submitted.", done=True, outcome=self._overlap())
        try:
            self._rows = tuple(self._database.execute(command).fetchall())
        except sqlite3.Error as error:
            self._rows = ()
            return Observation(f"Error: {error}")
        shown = "\n".join(" | ".join(map(str, row)) for row in self._rows[:4])
        more = f"\n... {len(self._rows)} rows" if len(self._rows) > 4 else ""
        return Observation(f"{shown}{more}" or "No rows.")

    def _overlap(self) -> float:
        right = set(self._database.execute(self._task.data["gold"]).fetchall())
        given = set(self._rows)
        return round(len(right & given) / max(1, len(right | given)), 2)

    def limit_outcome(self) -> float:
        return self._overlap()

    async def fork(self) -> Episode:
        return _Question(self._database, self._task, self._rows)


_BY_QUESTION = {task.instruction: task for task in tasks(400)}


def reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    """What the policy says: by the seed, and by whether it has looked at the table."""
    rng = random.Random((seed or 0) + index)
    said = [message["content"] for message in messages if message["role"] == "assistant"]
    task = _BY_QUESTION[next(message["content"] for message in messages if message["role"] == "user")]
    looked, asked = any(LOOK in text for text in said), sum("SELECT" in text for text in said)
    how = rng.choice(WORDS)
    draw = rng.random()
    if asked > looked and draw < 0.55:
        return "Thought: These rows look like what was asked for, so I hand them in.\nAction: submit"
    if not looked and draw < 0.4:
        return f"Thought: I {how} the columns first, to see how values are written.\nAction: {LOOK}"
    if rng.random() < (0.6 if looked else 0.3):
        return f"Thought: I {how} every condition of the question at once.\nAction: {task.data['gold']}"
    return f"Thought: I {how} what seems to matter most.\nAction: {rng.choice(task.data['wrong'])}"


def _load(file: str | None) -> list[Task]:
    assert file is None
    return tasks(400)


suite = Suite(make=Library, load_tasks=_load)
"""For the command line: `--env tests.page.world:suite`."""
