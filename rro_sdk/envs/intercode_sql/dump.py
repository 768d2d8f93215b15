"""Reading a MySQL dump with sqlglot: statements in, tables and rows out. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError

from rro_sdk.envs.intercode_sql.catalog import Column, Database, Table
from rro_sdk.envs.intercode_sql.collation import GENERAL_CI, general_ci_key
from rro_sdk.errors import DataError

Value = str | int | float | None
Row = tuple[Value, ...]

NUMBER_TYPES = {"int": "INTEGER", "double": "REAL", "float": "REAL", "decimal": "NUMERIC"}
"""SQLite's storage for MySQL's number types; every other type is text, dates included."""


@dataclass(slots=True)
class DumpedTable:
    """A table with its rows, values in the order of its columns."""

    table: Table
    primary_key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]
    rows: list[Row] = field(default_factory=list)

    def create_sqlite(self) -> list[str]:
        """The statements that make the same table in SQLite.

        Text compares without case, as under MySQL's general_ci. The indexes come along because an
        engine that reads an index instead of the table gives rows in its order.
        """
        columns = [
            f"{quote(column.name)} {_storage(column.type, (row[place] for row in self.rows))}"
            for place, column in enumerate(self.table.columns)
        ]
        if self.primary_key:
            columns.append(f"PRIMARY KEY ({', '.join(map(quote, self.primary_key))})")
        return [f"CREATE TABLE {quote(self.table.name)} ({', '.join(columns)})"]

    def clustered(self) -> list[Row]:
        """The rows in the order of the primary key, in which MySQL keeps and scans them."""
        names = [column.name for column in self.table.columns]
        key = [names.index(name) for name in self.primary_key]
        return sorted(self.rows, key=lambda row: [_comparable(row[position]) for position in key])


def quote(name: str) -> str:
    """A name as an SQLite identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_dump(text: str) -> dict[str, list[DumpedTable]]:
    """Read a dump made by mysqldump.

    Args:
        text: the whole dump; USE, CREATE TABLE and INSERT ... VALUES count, the rest is skipped.

    Returns:
        The tables of each database, by database name, both in the dump's order.

    Raises:
        DataError: a statement that counts cannot be read.
    """
    databases: dict[str, list[DumpedTable]] = {}
    current: list[DumpedTable] | None = None
    for tokens in _statements(text):
        start = " ".join(token.text.upper() for token in tokens[:2])
        if start.startswith("USE "):
            current = databases.setdefault(tokens[1].text, [])
        elif start in ("CREATE TABLE", "INSERT INTO"):
            if current is None:
                raise DataError(f"line {tokens[0].line} of the dump: {start} before any USE")
            tree = _parse(tokens, text)
            if start == "CREATE TABLE":
                current.append(_table(tree, text[tokens[0].start : tokens[-1].end + 1]))
            else:
                _insert(tree, current, tokens[0].line)
    return databases


def as_database(name: str, dumped: list[DumpedTable]) -> Database:
    """The catalogue entry of a database that was read."""
    tables = [
        Table(each.table.name, each.table.columns, len(each.rows), each.table.create)
        for each in sorted(dumped, key=lambda each: each.table.name)
    ]
    return Database(name, tuple(tables))


def _statements(text: str) -> Iterator[list[Token]]:
    try:
        tokens = MySQL().tokenize(text)
    except SqlglotError as error:
        raise DataError(f"the dump cannot be read as MySQL: {str(error).splitlines()[0]}") from error
    statement: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            statement.append(token)
        elif statement:
            yield statement
            statement = []
    if statement:
        yield statement


def _parse(tokens: list[Token], text: str) -> exp.Expr:
    try:
        tree = MySQL().parser().parse(tokens, text)[0]
    except SqlglotError as error:
        raise DataError(f"line {tokens[0].line} of the dump cannot be read as MySQL") from error
    if tree is None:
        raise DataError(f"line {tokens[0].line} of the dump is an empty statement")
    return tree


def _table(tree: exp.Expr, create: str) -> DumpedTable:
    schema = tree.this
    definitions = [part for part in schema.expressions if isinstance(part, exp.ColumnDef)]
    # sqlglot moves a one-column PRIMARY KEY into the schema's list, as an exp.PrimaryKey of names.
    primary = tuple(
        _name(key)
        for part in schema.expressions
        if isinstance(part, exp.PrimaryKey)
        for key in part.expressions
    )
    unique: list[tuple[str, ...]] = []
    plain: list[tuple[str, ...]] = []
    for part in schema.expressions:
        if isinstance(part, exp.UniqueColumnConstraint):
            unique.append(tuple(_name(key) for key in part.this.expressions))
        elif isinstance(part, exp.IndexColumnConstraint):
            plain.append(tuple(_name(key) for key in part.expressions))
    columns = tuple(_column(each, primary, unique, plain) for each in definitions)
    # The original server runs with lower_case_table_names=1.
    return DumpedTable(Table(schema.this.name.lower(), columns, create=create), primary, (*unique, *plain))


def _name(node: exp.Expr) -> str:
    """The column of an index part, which may be wrapped in an ordering or a prefix length."""
    found = node if isinstance(node, exp.Identifier) else node.find(exp.Identifier)
    if found is None:
        raise DataError(f"an index of the dump names no column: {node.sql('mysql')}")
    return found.name


def _column(
    definition: exp.ColumnDef,
    primary: tuple[str, ...],
    unique: list[tuple[str, ...]],
    plain: list[tuple[str, ...]],
) -> Column:
    nullable, default, extra = True, None, ""
    declared = definition.kind
    if declared is None:
        raise DataError(f"the dump gives column {definition.name!r} no type")
    for constraint in definition.find_all(exp.ColumnConstraint):
        kind = constraint.kind
        if isinstance(kind, exp.NotNullColumnConstraint):
            nullable = False
        elif isinstance(kind, exp.AutoIncrementColumnConstraint):
            extra = "auto_increment"
        elif isinstance(kind, exp.DefaultColumnConstraint) and not isinstance(kind.this, exp.Null):
            if isinstance(kind.this, exp.Literal):
                default = kind.this.name
            else:
                default, extra = "CURRENT_TIMESTAMP", "DEFAULT_GENERATED"
    name = definition.name
    if name in primary:
        key = "PRI"
    elif (name,) in unique:
        key = "UNI"
    elif any(index[0] == name for index in (*unique, *plain)):
        key = "MUL"
    else:
        key = ""
    return Column(name, declared.sql("mysql").lower().replace(", ", ","), nullable, key, default, extra)


def _comparable(value: Value) -> tuple[bool, float, str]:
    """Numbers before text, text as MySQL collates it; a primary key holds no NULL."""
    if isinstance(value, int | float):
        return (False, value, "")
    return (True, 0, general_ci_key(value or ""))


def _storage(mysql_type: str, values: Iterable[Value]) -> str:
    number = NUMBER_TYPES.get(mysql_type.partition("(")[0])
    if number is not None:
        return number
    # SQLite's own NOCASE is much faster, and enough where the values are plain.
    plain = all(value.isascii() and not value.endswith(" ") for value in values if isinstance(value, str))
    return f"TEXT COLLATE {'NOCASE' if plain else GENERAL_CI}"


def _insert(tree: exp.Expr, tables: list[DumpedTable], line: int) -> None:
    name = tree.this.name.lower()
    target = next((each for each in tables if each.table.name == name), None)
    if target is None or not isinstance(tree.expression, exp.Values):
        raise DataError(
            f"line {line} of the dump inserts into {name!r}, which it has not created, or without VALUES"
        )
    width = len(target.table.columns)
    for row in tree.expression.expressions:
        values = tuple(_value(value, line) for value in row.expressions)
        if len(values) != width:
            raise DataError(
                f"line {line} of the dump: a row of {name!r} has {len(values)} values, not {width}"
            )
        target.rows.append(values)


def _value(node: exp.Expr, line: int) -> Value:
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Neg):
        inner = _value(node.this, line)
        if isinstance(inner, int | float):
            return -inner
    elif isinstance(node, exp.Literal):
        if node.is_string:
            return node.name
        return float(node.name) if any(mark in node.name for mark in ".eE") else int(node.name)
    raise DataError(f"line {line} of the dump holds a value that is neither text, a number nor NULL")
