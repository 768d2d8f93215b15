"""Columns that do not exist, found without asking an engine: every third recorded statement has one.

Only plain queries over known tables are looked at, and only the select list and the WHERE; whatever else
there is goes on to the engine, which finds the same and takes longer.
"""

from __future__ import annotations

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
    for each in select.expressions:
        message = _missing(each, sources, "field list")
        if message is not None:
            return message or None
    where = select.args.get("where")
    # What an ON misses comes first, and is the engine's to say.
    if where is None or any(join.args.get("on") is not None for join in select.args.get("joins") or ()):
        return None
    return _missing(where, sources, "where clause") or None


def _missing(tree: exp.Expr, sources: dict[str, frozenset[str]], clause: str) -> str | None:
    """The message for the first unknown column; empty where the engine has something to say before it."""
    for column in tree.find_all(exp.Column, bfs=False):
        if isinstance(column.this, exp.Star):
            continue
        name, table = column.name.lower(), column.table.lower()
        held = (sources[table],) if table in sources else () if table else sources.values()
        owners = sum(name in columns for columns in held)
        if owners > 1:
            return ""  # ambiguous: the engine's to say, and before any later column
        if not owners:
            written = ".".join(part.name for part in column.parts)
            return f"Unknown column '{written}' in '{clause}'"
    return None
