"""Worked examples for few-shot prompts, over a small invented bakery database."""

from __future__ import annotations

from dataclasses import dataclass

from rro_sdk.prompts import react
from rro_sdk.types import Message, Observation

SCHEMA = "baker(id, name, town, age)\nbread(id, title, price)\nsale(baker_id, bread_id, loaves)"
"""The invented schema, written as `Database.schema_text` writes one."""

_TABLES = ("I do not know the tables yet.", "SHOW TABLES", "[('baker',), ('bread',), ('sale',)]")
_BAKER = (
    "The question is about bakers, so I look at that table.",
    "DESC baker",
    "[('id', 'int', 'NO', 'PRI', None, ''), ('name', 'text', 'YES', '', None, ''), "
    "('town', 'text', 'YES', '', None, ''), ('age', 'int', 'YES', '', None, '')]",
)
_BREAD = (
    "The question is about bread, so I look at that table.",
    "DESC bread",
    "[('id', 'int', 'NO', 'PRI', None, ''), ('title', 'text', 'YES', '', None, ''), "
    "('price', 'double', 'YES', '', None, '')]",
)
_SALE = (
    "I need the table that links bakers and breads.",
    "DESC sale",
    "[('baker_id', 'int', 'YES', '', None, ''), ('bread_id', 'int', 'YES', '', None, ''), "
    "('loaves', 'int', 'YES', '', None, '')]",
)
_SUBMIT = "The result answers the question."


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: what is explored where the schema is not shown, then the queries."""

    question: str
    explore: tuple[tuple[str, str, str], ...]
    solve: tuple[tuple[str, str, str], ...]


EXAMPLES = (
    Example(
        "How many bakers are older than 40?",
        (_TABLES, _BAKER),
        (
            (
                "I count the bakers with an age above 40.",
                "SELECT COUNT(*) FROM baker WHERE age > 40",
                "[(2,)]",
            ),
        ),
    ),
    Example(
        "What are the titles of the breads, from the most to the least expensive?",
        (_TABLES, _BREAD),
        (
            (
                "I list the titles in descending order of price.",
                "SELECT title FROM bread ORDER BY price DESC",
                "[('rye',), ('spelt',), ('toast',)]",
            ),
        ),
    ),
    Example(
        "Which towns have more than one baker?",
        (_TABLES, _BAKER),
        (
            (
                "I group the bakers by town and keep the groups with more than one.",
                "SELECT town FROM baker GROUP BY town HAVING COUNT(*) > 1",
                "[('Lund',)]",
            ),
        ),
    ),
    Example(
        "What are the names of the bakers who have sold rye?",
        (_TABLES, _SALE),
        (
            (
                "I join bakers, sales and breads.",
                "SELECT baker.name FROM baker JOIN sale ON baker.id = sale.baker_id JOIN bread "
                "ON sale.bread_id = bread.id WHERE bread.name = 'rye'",
                "Error executing query: Unknown column 'bread.name' in 'where clause'",
            ),
            (
                "The column of the bread is called title.",
                "SELECT baker.name FROM baker JOIN sale ON baker.id = sale.baker_id JOIN bread "
                "ON sale.bread_id = bread.id WHERE bread.title = 'rye'",
                "[('Nils',), ('Ada',)]",
            ),
        ),
    ),
)


def opening(question: str, schema: str | None) -> str:
    """What an episode starts with: the question, after the schema where it is shown."""
    return question if schema is None else f"Tables:\n{schema}\n\nQuestion: {question}"


def turn(thought: str, command: str) -> str:
    """A reply in the form that `prompts.react` reads."""
    return f"Thought: {thought}\nAction: {command}"


def messages(count: int, *, show_schema: bool) -> tuple[Message, ...]:
    """The first `count` examples as user and assistant messages, in the form of real episodes."""
    said: list[Message] = []
    for example in EXAMPLES[:count]:
        said.append(Message("user", opening(example.question, SCHEMA if show_schema else None)))
        for thought, command, result in (*(() if show_schema else example.explore), *example.solve):
            said.append(Message("assistant", turn(thought, command)))
            said.append(react.observation_message(Observation(result)))
        said.append(Message("assistant", turn(_SUBMIT, "submit")))
    return tuple(said)
