"""One MySQL statement read: what SQLite must run for it, or what the server would say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import Token, TokenType, exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from rro_sdk.envs.intercode_sql import columns, group_by, information_schema, metadata, mysql_errors, refusals
from rro_sdk.envs.intercode_sql.catalog import Catalog, Database
from rro_sdk.envs.intercode_sql.inference import Typer
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows, Word
from rro_sdk.envs.intercode_sql.nodes import Nodes
from rro_sdk.envs.intercode_sql.sqltypes import SqlType
from rro_sdk.envs.intercode_sql.syntax import Syntax

MAX_CHARACTERS = 10_000
MAX_TOKENS = 2_000
MAX_DEPTH = 50
"""Limits on a statement before it is parsed. The longest recorded one has 700 characters."""

QUERY_STARTS = frozenset({"SELECT", "WITH", "(", "VALUES", "TABLE"})
WRITE_STARTS = frozenset(
    """
    ALTER ANALYZE ATTACH BEGIN CALL CHECK COMMIT CREATE DELETE DETACH DO DROP EXECUTE FLUSH GRANT HANDLER
    INSERT INSTALL KILL LOAD LOCK MERGE OPTIMIZE PRAGMA PREPARE REINDEX RENAME REPAIR REPLACE RESET REVOKE
    ROLLBACK SAVEPOINT SET START TRUNCATE UNLOCK UPDATE VACUUM
    """.split()  # noqa: SIM905 - forty quoted words read worse
)

_TAIL = ("order", "limit", "offset")
"""What may follow a query in parentheses."""

_ROWS_TAKERS = (
    exp.From,
    exp.Join,
    exp.In,
    exp.Exists,
    exp.Any,
    exp.All,
    exp.SetOperation,
    exp.CTE,
    exp.Subquery,
)
"""What stands around a subquery that may have any number of rows."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement for SQLite.

    Attributes:
        sql: its text.
        types: MySQL's type of each result column, None where it is not known.
        tree: the parsed statement, for error messages.
        order_sql: a statement whose rows, by first appearance, give the order of the result. MySQL
            keeps UNION, INTERSECT and EXCEPT in the order in which it met the rows, SQLite sorts them.
        ctes: lower-case names of its WITH.
        refused: what MySQL says in place of the rows, once the statement is otherwise found to be right.
        single: subqueries in a value's place: MySQL refuses more than one row, SQLite takes the first. One
            that reads its outer query or a WITH cannot run alone, and stays as SQLite takes it; so does one
            below IF, CASE or COALESCE, which MySQL may never look at.
    """

    sql: str
    types: tuple[SqlType | None, ...]
    tree: exp.Expr
    order_sql: str | None = None
    ctes: frozenset[str] = frozenset()
    refused: str | None = None
    single: tuple[str, ...] = ()


def translate(statement: str, database: Database, catalog: Catalog, syntax: Syntax) -> Query | Rows | Failure:
    """Read one MySQL statement; whatever follows its first semicolon is not read.

    Args:
        statement: the text, already free of NUL and lone surrogates.
        database: the database it speaks to.
        catalog: all databases, for their names.
        syntax: the calling thread's own.
    """
    if len(statement) > MAX_CHARACTERS:
        return Failure(mysql_errors.TOO_COMPLEX)
    try:
        tokens = syntax.tokens(statement)
    except TokenError:
        return Failure(mysql_errors.syntax(statement))
    # Three looks at every token, each spared where the text says that there is nothing to see.
    if ";" in statement:
        tokens = first_statement(tokens)
    if not tokens:
        return Failure(mysql_errors.EMPTY)
    if len(tokens) > MAX_TOKENS or (statement.count("(") > MAX_DEPTH and _depth(tokens) > MAX_DEPTH):
        return Failure(mysql_errors.TOO_COMPLEX)
    start = tokens[0].text.upper().split(" ")[0]
    if start in metadata.STARTS:
        answer = metadata.answer([word(token) for token in tokens], statement, database, catalog)
        return answer or Failure("EXPLAIN of a query is not supported here")
    if start in WRITE_STARTS:
        return Failure(mysql_errors.READ_ONLY)
    if start not in QUERY_STARTS:
        return Failure(mysql_errors.syntax(statement))
    try:
        return _query(tokens, statement, database, catalog, syntax)
    except ParseError as error:
        return Failure(_syntax(error, statement))
    except RecursionError:
        return Failure(mysql_errors.TOO_COMPLEX)
    except (SqlglotError, ValueError):
        # A statement that sqlglot reads but cannot handle; MySQL would refuse nearly all of these.
        return Failure(mysql_errors.syntax(statement))


def _query(
    tokens: list[Token], statement: str, database: Database, catalog: Catalog, syntax: Syntax
) -> Query | Failure:
    tree = syntax.tree(tokens, statement)
    if not isinstance(tree, exp.Query):
        return Failure(mysql_errors.syntax(statement))
    if "join" in statement.lower() and (late := refusals.late_join(tokens)) is not None:
        return Failure(mysql_errors.syntax(statement[late.start :], late.line))
    nodes = Nodes(tree)
    if (failure := refusals.refusal(nodes, database, catalog)) is not None:
        return failure
    if (message := columns.unknown(nodes, database)) is not None:
        return Failure(message)
    refused = group_by.refused(nodes, database)
    _localise(nodes, database)
    types = tuple(kind for _, kind in Typer(database).query(tree))
    tree = _opened(tree)
    _unwrap_operands(nodes)
    ctes = frozenset(cte.alias.lower() for cte in nodes.of(exp.CTE))
    _keep_group_order(tree, database, ctes)
    order_sql = _order_sql(tree, syntax)
    single = tuple(syntax.written(each) for each in _values(nodes, ctes))
    return Query(syntax.written(tree), types, tree, order_sql, ctes, refused, single)


def _values(nodes: Nodes, ctes: frozenset[str]) -> list[exp.Query]:
    """The subqueries in a value's place that may have several rows and need no WITH."""
    found = (
        _opened(each.copy())
        for each in nodes.of(exp.Subquery)
        if each.parent is not None
        and not isinstance(each.parent, _ROWS_TAKERS)
        and each.find_ancestor(exp.If, exp.Case, exp.Coalesce) is None  # it may not be looked at
    )
    return [
        each
        for each in found
        if not _has_one_row(each)
        and ctes.isdisjoint(table.name.lower() for table in each.find_all(exp.Table))
    ]


def _has_one_row(query: exp.Query) -> bool:
    limit = query.args.get("limit")
    if limit is not None and limit.expression is not None and limit.expression.name in ("0", "1"):
        return True
    # Others may have one row, too; they are looked at for nothing.
    return (
        isinstance(query, exp.Select)
        and query.args.get("group") is None
        and all(isinstance(each.unalias(), exp.AggFunc) for each in query.selects)
    )


def _order_sql(tree: exp.Expr, syntax: Syntax) -> str | None:
    """See `Query.order_sql`; only for a set operation at the top that says nothing of its order."""
    if not isinstance(tree, exp.SetOperation) or any(
        tree.args.get(key) for key in ("order", "limit", "with_")
    ):
        return None
    if not tree.args.get("distinct"):
        return None
    if isinstance(tree, exp.Union):
        met = tree.copy()
        for each in met.find_all(exp.Union):
            each.set("distinct", False)
        return syntax.written(met)
    return syntax.written(tree.this.copy())


def first_statement(tokens: Sequence[Token]) -> list[Token]:
    """The tokens up to the first semicolon that follows any."""
    first: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            first.append(token)
        elif first:
            break
    return first


def _depth(tokens: Sequence[Token]) -> int:
    depth = deepest = 0
    for token in tokens:
        if token.token_type == TokenType.L_PAREN:
            depth += 1
            deepest = max(deepest, depth)
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
    return deepest


def word(token: Token) -> Word:
    """A token as `metadata` reads it."""
    return Word(token.text, token.token_type in (TokenType.STRING, TokenType.IDENTIFIER), token.start)


def _syntax(error: ParseError, statement: str) -> str:
    """MySQL's words for a statement that cannot be parsed: the rest of it, from the offending token on."""
    details = error.errors[0] if error.errors else {}
    near = f"{details.get('highlight') or ''}{details.get('end_context') or ''}"
    return mysql_errors.syntax(near or statement, int(details.get("line") or 1))


def _localise(nodes: Nodes, database: Database) -> None:
    """Take the database's name out: a connection holds one database, and information_schema beside it."""
    for table in nodes.of(exp.Table):
        held = information_schema.table_name(table.name)
        if table.db.lower() == information_schema.NAME and held is not None:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(held))
        if table.args.get("db") is not None:
            table.set("db", None)
            table.set("catalog", None)
    for select in nodes.of(exp.Select):
        source = select.args.get("from_")
        if source is not None and source.this.name.lower() == refusals.DUAL and not select.args.get("joins"):
            select.set("from_", None)
    for column in nodes.of(exp.Column):
        if column.args.get("db") is not None:
            column.set("db", None)
            column.set("catalog", None)
    for call in nodes.of(exp.CurrentSchema):
        call.replace(exp.Literal.string(database.name.lower()))


def _keep_group_order(tree: exp.Expr, database: Database, ctes: frozenset[str]) -> None:
    """Groups of one table that nobody ordered: MySQL 8 gives them as it met them, SQLite sorted.

    Where an index begins with the column, both read the index.
    """
    if not isinstance(tree, exp.Select) or tree.args.get("order") is not None or tree.args.get("joins"):
        return
    group, source = tree.args.get("group"), tree.args.get("from_")
    if group is None or source is None or not isinstance(source.this, exp.Table):
        return
    table = database.table(source.this.name)
    if table is None or table.name in ctes or not table.numbered:
        return
    plain = {column.name.lower() for column in table.columns if not column.key}
    aliases = {each.alias.lower(): each.this for each in tree.expressions if isinstance(each, exp.Alias)}
    meant = [aliases.get(each.name.lower(), each) for each in group.expressions]
    if all(isinstance(each, exp.Column) and each.name.lower() in plain for each in meant):
        row = exp.column("rowid", table=source.this.alias_or_name)
        tree.set("order", exp.Order(expressions=[exp.Ordered(this=exp.Min(this=row))]))


def _unwrap_operands(nodes: Nodes) -> None:
    """`(SELECT ...) UNION (SELECT ...)`: SQLite takes no parentheses there."""
    for operation in nodes.of(exp.SetOperation):
        for side in ("this", "expression"):
            operand = operation.args[side]
            if not isinstance(operand, exp.Subquery) or operand.alias:
                continue
            inner = _opened(operand)
            if any(inner.args.get(key) for key in (*_TAIL, "with_")):
                inner = _all_of(inner)
            operation.set(side, inner)


def _opened(tree: exp.Query) -> exp.Query:
    """A query without the parentheses around it; what stands outside, such as a LIMIT or a WITH, stays."""
    if not isinstance(tree, exp.Subquery):
        return tree
    opened = _opened(tree.this)
    around = {key: part for key in (*_TAIL, "with_") if (part := tree.args.get(key)) is not None}
    if around and any(opened.args.get(key) is not None for key in (*_TAIL, "with_")):
        opened = _all_of(opened)
    for key, part in around.items():
        opened.set(key, part)
    return opened


def _all_of(query: exp.Query) -> exp.Query:
    return exp.select("*").from_(exp.Subquery(this=query, alias=exp.TableAlias(this="operand")))
