"""Hindsight for InterCode-SQL: the walk's last result is an answer, and the question is to be found."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from rro_sdk.envs.base import Environment
from rro_sdk.envs.intercode_sql import commands
from rro_sdk.envs.intercode_sql.env import InterCodeSQL
from rro_sdk.envs.intercode_sql.mysql_errors import PREFIX
from rro_sdk.envs.intercode_sql.reward import score
from rro_sdk.errors import ConfigError
from rro_sdk.synthesis.experts import Turn
from rro_sdk.synthesis.explore.hindsight import Solved, Walk
from rro_sdk.synthesis.explore.outcome import told
from rro_sdk.synthesis.sql.difficulty import difficulty
from rro_sdk.synthesis.sql.generate import MOST_ROWS
from rro_sdk.synthesis.sql.wording import plain
from rro_sdk.types import Step, Task

EXPLORE = (
    "There is no question yet. Look around in the database and find something out that someone could ask "
    "about it: a fact that takes a query over its rows. Begin with the table {table}. Say submit when the "
    "last result is such an answer."
)
_NOTHING = ("[]", "None", "")


class SQLHindsight:
    """The last statement that gave rows is the gold; its question is proposed by the model."""

    needs_tasks = False
    brief = (
        "Write the question about the database that the last result answers, so that someone who does not "
        "see the statement can answer it: name every condition, order and limit, and what is to be shown. "
        "No SQL, no names of tables with underscores."
    )

    def starts(self, env: Environment, given: Sequence[Task], count: int, seed: int) -> Sequence[Task]:
        """The databases in turn (those of the given tasks, where any were named), each from another table."""
        library = _sql(env).library
        named = {str(task.data.get("db", "")).lower() for task in given}
        databases = [
            (each.name, [table.name for table in each.tables if table.rows])
            for each in library.catalog.databases
            if not named or each.name.lower() in named
        ]
        databases = [each for each in databases if each[1]]
        if not databases:
            raise ConfigError("there is no database with rows to explore")
        rng = Random(f"{seed}/explore")
        found = []
        for number in range(count):
            name, tables = databases[number % len(databases)]
            text = EXPLORE.format(table=rng.choice(tables))
            found.append(Task(f"explore-{seed}-{number:06d}", text, {"db": name, "gold": "SELECT 1"}))
        return found

    def opening(self, opening: str) -> str:
        return opening

    def solved(self, env: Environment, walk: Walk) -> Solved | None:
        steps = [step for step in walk.steps if _is_statement(step)]
        while steps and not _answers(steps[-1]):
            steps.pop()
        if not steps:
            return None
        gold = " ".join(_statement(steps[-1]).split()).rstrip("; ")
        evidence = f"Database: {walk.start.data['db']}\n\n{told(steps)}"
        done = Turn("The result answers the question.", "submit")
        data = {"db": walk.start.data["db"], "gold": gold}
        wrong = tuple(step.observation.text.startswith(PREFIX) for step in steps)
        return Solved(tuple(steps), evidence, data, (done,), wrong)

    def task(self, env: Environment, solved: Solved, instruction: str, name: str) -> Task | None:
        if "select " in instruction.lower() and " from " in instruction.lower():
            return None
        try:
            hardness = difficulty(solved.data["gold"])
        except SqlglotError:  # SQLite ran it; on one line, a comment may have swallowed its end
            return None
        return Task(name, instruction, {**solved.data, "hardness": hardness})

    def expected(self, text: str, start: Task, task: Task) -> str:
        return text

    async def flaw(self, env: Environment, task: Task) -> str | None:
        world = _sql(env)
        database = world.library.catalog.database(task.data["db"])
        if database is None:
            return "unknown database"
        rows = (await world.answer(database, task.data["gold"])).rows or ()
        if not any(value not in (None, 0) for row in rows for value in row):
            return "nothing to find"
        if len(rows) > MOST_ROWS:
            return "too many rows"
        if score(rows, rows) != 1.0:
            return "does not score 1"
        tree = parse_one(task.data["gold"], read="mysql")
        for select in tree.find_all(exp.Select):
            if select.args.get("limit") and not select.args.get("order"):
                return "cut off in no order"
        return None

    def shape(self, task: Task) -> str:
        """The statement without its values."""
        tree = parse_one(task.data["gold"], read="mysql")
        bare = tree.transform(lambda node: exp.Placeholder() if isinstance(node, exp.Literal) else node)
        return f"{task.data['db']}: {plain(bare.sql(dialect='mysql'))}"

    def identity(self, task: Task) -> str:
        return f"{task.data['db']}: {plain(task.data['gold'])}"

    def row(self, task: Task, expert: Sequence[Turn]) -> dict[str, Any]:
        """As `rro data synth sql` writes it."""
        return {
            "id": task.id,
            "db": task.data["db"],
            "query": task.instruction,
            "gold": task.data["gold"],
            "hardness": task.data["hardness"],
            "template": "explored",
            "split": "train",
            "split_by": "question",
            "expert": msgspec.to_builtins(expert),
        }


def _sql(env: Environment) -> InterCodeSQL:
    if not isinstance(env, InterCodeSQL):
        raise ConfigError(f"SQLHindsight is for intercode-sql, not for {env.name}")
    return env


def _is_statement(step: Step) -> bool:
    return step.action.command is not None and isinstance(
        commands.read(step.action.command), commands.Statement
    )


def _statement(step: Step) -> str:
    found = commands.read(step.action.command or "")
    return found.text if isinstance(found, commands.Statement) else ""


def _answers(step: Step) -> bool:
    """Whether it is a query over a table that gave rows, as far as its text shows."""
    text = step.observation.text.strip()
    if text.startswith(PREFIX) or text in _NOTHING or not text.startswith("["):
        return False
    try:
        tree = parse_one(_statement(step), read="mysql")
    except SqlglotError:
        return False
    return isinstance(tree, exp.Query) and any(True for _ in tree.find_all(exp.Table))
