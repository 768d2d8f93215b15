"""Columns that do not exist, found without asking an engine: every third recorded statement has one.

Only plain queries over known tables are looked at; whatever else there is goes on to the engine, which
finds the same, but names another column where several are missing, and takes longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlglot import exp

from rro_sdk.envs.intercode_sql.catalog import Database
from rro_sdk.envs.intercode_sql.nodes import Nodes

_UNSURE = (exp.Anonymous, exp.Subquery, exp.SetOperation, exp.Interval)
"""Where a name need not be a column, or where there are more sources than the FROM has."""


def unknown(nodes: Nodes, database: Database) -> str | None:
    """MySQL's message for the first column that none of the tables has, or None."""
    select = nodes.tree
    if not isinstance(select, exp.Select) or len(nodes.of(exp.Query)) > 1 or nodes.of(*_UNSURE):
        return None
    sources: dict[str, frozenset[str]] = {}
    for source in nodes.of(exp.Table):
        table = database.table(source.name)
        if table is None or source.db.lower() not in ("", database.name.lower()):
            return None
        sources[(source.alias or source.name).lower()] = table.names
    aliases = {each.alias.lower() for each in select.expressions if isinstance(each, exp.Alias)}
    for clause, part, hidden in _parts(select):
        message = _missing(part, sources, aliases if hidden else frozenset(), clause)
        if message is not None:
            return message or None
    return None


def _parts(select: exp.Select) -> Iterator[tuple[str, exp.Expr, bool]]:
    """(clause, expression, whether an alias of the list may stand there), in MySQL's order of looking."""
    for each in select.expressions:
        yield "field list", each, False
    if (where := select.args.get("where")) is not None:
        yield "where clause", where, False
    for join in reversed(select.args.get("joins") or ()):
        if join.args.get("on") is not None:
            yield "on clause", join.args["on"], False
    for key, clause in (("group", "group statement"), ("order", "order clause")):
        if select.args.get(key) is not None:
            yield clause, select.args[key], True


def _missing(
    tree: exp.Expr, sources: dict[str, frozenset[str]], aliases: Collection[str], clause: str
) -> str | None:
    """The message for the first unknown column; empty where the engine has something to say before it."""
    for column in tree.find_all(exp.Column, bfs=False):
        if isinstance(column.this, exp.Star):
            continue
        name, table = column.name.lower(), column.table.lower()
        if not table and name in aliases:
            continue
        held = (sources[table],) if table in sources else () if table else sources.values()
        owners = sum(name in columns for columns in held)
        if owners > 1:
            return ""  # ambiguous: the engine's to say, and before any later column
        if not owners:
            written = ".".join(part.name for part in column.parts)
            return f"Unknown column '{written}' in '{clause}'"
    return None
