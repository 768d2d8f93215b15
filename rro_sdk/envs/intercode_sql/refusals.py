"""What MySQL refuses before it runs anything, and sqlglot or SQLite would let pass."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Token, TokenType, exp

from rro_sdk.envs.intercode_sql import information_schema, metadata, mysql_errors
from rro_sdk.envs.intercode_sql.catalog import Catalog, Database
from rro_sdk.envs.intercode_sql.metadata import Failure
from rro_sdk.envs.intercode_sql.nodes import Nodes

ROW_IDS = frozenset({"rowid", "oid", "_rowid_"})
"""SQLite's names for a row's number: no columns of MySQL's."""

DUAL = "dual"
"""MySQL's table of nothing, for a SELECT that needs none."""

_AFTER_JOINS = (TokenType.WHERE, TokenType.GROUP_BY, TokenType.HAVING, TokenType.ORDER_BY)


def late_join(tokens: Sequence[Token]) -> Token | None:
    """A JOIN after WHERE, GROUP BY, HAVING or ORDER BY, which sqlglot puts right and MySQL refuses."""
    late = [False]
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            late.append(False)
        elif token.token_type == TokenType.R_PAREN and len(late) > 1:
            late.pop()
        elif token.token_type == TokenType.SELECT:
            late[-1] = False
        elif token.token_type in _AFTER_JOINS:
            late[-1] = True
        elif token.token_type == TokenType.JOIN and late[-1]:
            return token
    return None


def refusal(nodes: Nodes, database: Database, catalog: Catalog) -> Failure | None:
    """MySQL's refusal of a parsed query, or None."""
    return (
        _tables(nodes, database, catalog)
        or _subqueries(nodes)
        or aggregates(nodes, database)
        or _row_ids(nodes, database)
    )


def _tables(nodes: Nodes, database: Database, catalog: Catalog) -> Failure | None:
    """Only tables of the episode's own database, the statement's own WITH, and of information_schema."""
    ctes = {cte.alias.lower() for cte in nodes.of(exp.CTE)}
    for table in nodes.of(exp.Table):
        name, schema = table.name.lower(), table.db.lower()
        if not isinstance(table.this, exp.Identifier):
            return Failure(mysql_errors.syntax(table.sql("mysql")))
        if name in metadata.RESERVED and not table.this.args.get("quoted"):
            return Failure(mysql_errors.syntax(table.name))
        if schema == information_schema.NAME and information_schema.table_name(name) is not None:
            continue
        if schema and schema != database.name.lower():
            known = catalog.database(schema) is not None or schema in metadata.SERVER_DATABASES
            return Failure(mysql_errors.no_access(schema) if known else mysql_errors.no_database(schema))
        if name == DUAL and not schema:
            continue
        if database.table(name) is None and (schema or name not in ctes):
            return Failure(mysql_errors.no_table(database.name, name))
    return None


def _subqueries(nodes: Nodes) -> Failure | None:
    for node in nodes.of(exp.In):
        inner = node.args.get("query")
        inner = inner.this if isinstance(inner, exp.Subquery) else inner
        if inner is not None and inner.args.get("limit") is not None:
            return Failure(mysql_errors.LIMIT_IN_SUBQUERY)
    for source in nodes.of(exp.From, exp.Join):
        derived = source.this
        if isinstance(derived, exp.Subquery) and not derived.alias and isinstance(derived.this, exp.Query):
            return Failure("Every derived table must have its own alias")
    return Failure(mysql_errors.READ_ONLY) if nodes.first(exp.Into) is not None else None


def aggregates(nodes: Nodes, database: Database) -> Failure | None:
    """MySQL 8 refuses `SELECT MAX(a), b FROM t`: an aggregate beside a bare column, without GROUP BY."""
    for select in nodes.of(exp.Select):
        if select.args.get("group") is not None or not nodes.of(exp.AggFunc):
            continue
        expressions = [each.unalias() for each in select.expressions]
        if not any(_outside(each, exp.AggFunc, exp.Window) for each in expressions):
            continue
        known = {column.name.lower() for table in database.tables for column in table.columns}
        for place, each in enumerate(expressions, 1):
            bare = _outside(each, exp.Column, exp.AggFunc)
            # MySQL complains of an unknown column first, and so will SQLite.
            if bare and all(column.name.lower() in known for column in bare):
                return Failure(
                    f"In aggregated query without GROUP BY, expression #{place} of SELECT list contains "
                    f"nonaggregated column '{bare[0].sql('mysql')}'; "
                    "this is incompatible with sql_mode=only_full_group_by"
                )
    return None


def _row_ids(nodes: Nodes, database: Database) -> Failure | None:
    for column in nodes.of(exp.Column):
        name = column.name.lower()
        if name in ROW_IDS and not any(name in table.names for table in database.tables):
            return Failure(f"Unknown column '{column.sql('mysql')}' in 'field list'")
    return None


def _outside(tree: exp.Expr, wanted: type[exp.Expr], wall: type[exp.Expr]) -> list[exp.Expr]:
    """The nodes of one kind that are not inside a node of another kind, nor in a nested query."""
    found = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, wall | exp.Query):
            continue
        if isinstance(node, wanted):
            found.append(node)
        stack.extend(node.iter_expressions())
    return found
