"""MySQL's wording for what goes wrong, since agents were trained on it and read it."""

from __future__ import annotations

import re

from sqlglot import exp

PREFIX = "Error executing query: "
"""What InterCode puts before every message of the server."""

INTERRUPTED = "Query execution was interrupted"
TIMED_OUT = f"{INTERRUPTED}, maximum statement execution time exceeded"
TOO_LARGE = INTERRUPTED + ", the result is larger than {limit}"
READ_ONLY = "The MySQL server is running with the --read-only option so it cannot execute this statement"
EMPTY = "Query was empty"
TOO_COMPLEX = "Statement is too long or too deeply nested"
LIMIT_IN_SUBQUERY = "This version of MySQL doesn't yet support 'LIMIT & IN/ALL/ANY/SOME subquery'"
MANY_ROWS = "Subquery returns more than 1 row"
OUT_OF_MEMORY = "Out of memory; the statement builds values that are too large"

_NEAR = 80
"""MySQL quotes at most this many characters of a statement it cannot read."""


def syntax(near: str, line: int = 1) -> str:
    return (
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server "
        f"version for the right syntax to use near '{near[:_NEAR]}' at line {line}"
    )


def no_table(database: str, table: str) -> str:
    return f"Table '{database.lower()}.{table.lower()}' doesn't exist"


def no_database(name: str) -> str:
    return f"Unknown database '{name.lower()}'"


def no_access(name: str) -> str:
    return f"Access denied for user 'agent'@'localhost' to database '{name.lower()}'"


def from_sqlite(message: str, tree: exp.Expr, database: str) -> str:
    """MySQL's message for what SQLite said about a statement.

    Args:
        message: SQLite's error text.
        tree: the parsed statement, to say in which clause a name stands.
        database: name of the database.
    """
    for pattern, wording in _WORDINGS:
        if (found := pattern.match(message)) is not None:
            name = found.group(1) if found.groups() else ""
            return wording.format(name=name, clause=_clause(tree, name), database=database.lower())
    return message


_WORDINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), wording)
    for pattern, wording in (
        (r"no such column: (.+)", "Unknown column '{name}' in '{clause}'"),
        (r"ambiguous column name: (.+)", "Column '{name}' in {clause} is ambiguous"),
        (r"no such table: (?:main\.)?(.+)", "Table '{database}.{name}' doesn't exist"),
        (r"no such function: (.+)", "FUNCTION {database}.{name} does not exist"),
        (r"not authorized to use function: (.+)", "FUNCTION {database}.{name} does not exist"),
        (
            r"wrong number of arguments to function (.+?)\(\)",
            "Incorrect parameter count in the call to native function '{name}'",
        ),
        (r"misuse of (?:aggregate|window function|aliased aggregate).*", "Invalid use of group function"),
        (r"sub-select returns \d+ columns - expected (\d+)", "Operand should contain {name} column(s)"),
        (r"SELECTs to the left and right", "The used SELECT statements have a different number of columns"),
        (r'near "(.*)": syntax error', syntax("{name}")),
        (r"(?:unrecognized token|incomplete input)", syntax("")),
        (r"(?:not authorized|access to .* is prohibited)", "Access denied"),
        (r"LIKE or GLOB pattern too complex", TOO_COMPLEX),
        (r"Could not decode to UTF-8", "Invalid utf8mb4 character string"),
        (r"integer overflow", "BIGINT value is out of range"),
        (r"(?:string or blob too big|out of memory)", OUT_OF_MEMORY),
        (r"(?:parser stack overflow|Expression tree is too large|at most \d+ tables|too many)", TOO_COMPLEX),
        (r"user-defined (?:function|aggregate)", "Incorrect arguments to a function"),
    )
)

_CLAUSES: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.Where, "where clause"),
    (exp.Having, "having clause"),
    (exp.Group, "group statement"),
    (exp.Order, "order clause"),
    (exp.Join, "on clause"),
)


def _clause(tree: exp.Expr, name: str) -> str:
    """The clause in which a column's name first stands, in MySQL's words."""
    wanted = name.replace("`", "").lower()
    for column in tree.find_all(exp.Column):
        if ".".join(part.name for part in column.parts).lower() != wanted:
            continue
        node: exp.Expr | None = column
        while node is not None and not isinstance(node, exp.Query):
            above = node.parent
            if isinstance(above, exp.In) and above.this is node and above.args.get("query") is not None:
                return "IN/ALL/ANY subquery"
            for kind, words in _CLAUSES:
                if isinstance(node, kind):
                    return words
            node = node.parent
        break
    return "field list"
