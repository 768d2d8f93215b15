"""Statements that answer more than was asked. Pure."""

from __future__ import annotations

from sqlglot import exp, parse_one

from rro_sdk.synthesis.experts import Turn
from rro_sdk.synthesis.sql.scripts import plan

_NARROWING = ("where", "distinct", "limit")


def careless(gold: str, expert: tuple[Turn, ...]) -> tuple[Turn, ...] | None:
    """The expert's turns with a statement that leaves out which rows are asked for, and without mistakes.

    Returns:
        The turns; None where the statement takes all rows anyway.
    """
    tree = parse_one(gold, read="mysql")
    if not isinstance(tree, exp.Select) or not any(tree.args.get(part) for part in _NARROWING):
        return None
    for part in _NARROWING:
        tree.set(part, None)
    query = Turn(plan(tree), tree.sql(dialect="mysql"))
    right = [turn for turn in expert if not turn.mistake]
    return tuple(query if turn.command == gold else turn for turn in right)
