"""Reading a schema: every value through the statements that an agent would run."""

from __future__ import annotations

from collections import Counter

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from rro_sdk.envs.intercode_sql.catalog import Database, Table
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.errors import DataError
from rro_sdk.synthesis.sql.schema import Entity, Link, Schema, identifier, make_entity
from rro_sdk.synthesis.sql.wording import column_phrase

MOST_ROWS = (5_000, 500, 50)
"""Rows of a table whose values are looked at; fewer where those are too large for one result."""

Reference = tuple[str, str, str, str]
"""A foreign key by names: child table, its column, parent table, its key."""


def read_schema(runner: Runner, database: Database) -> Schema:
    """Profile a database: kinds and values of its columns, and its joins.

    Joins are the declared foreign keys; where a table declares none, a column that is called like
    another table's primary key and holds none but its values counts as one.

    Raises:
        DataError: a table cannot be read.
    """
    declared = {table.name: _declared(table, database) for table in database.tables}
    keys = {reference[:2] for found in declared.values() for reference in found}
    entities = {table.name: _entity(runner, database, table, keys) for table in database.tables if table.rows}
    references = dict.fromkeys(
        reference
        for table in database.tables
        for reference in declared[table.name] or _inferred(table, database, entities)
    )
    ends = Counter((child, parent) for child, _, parent, _ in references)
    links = tuple(
        Link(
            entities[child],
            column,
            entities[parent],
            key,
            f" by {column_phrase(column, child)}" if ends[child, parent] > 1 else "",
        )
        for child, column, parent, key in references
        if child in entities and parent in entities
    )
    return Schema(database.name, tuple(entities.values()), links)


def _entity(runner: Runner, database: Database, table: Table, keys: set[tuple[str, str]]) -> Entity:
    names = ", ".join(identifier(column.name) for column in table.columns)
    for most in MOST_ROWS:
        result = runner.run(database.name, f"SELECT {names} FROM {identifier(table.name)} LIMIT {most}")
        if isinstance(result, Rows):
            break
    if isinstance(result, Failure):
        raise DataError(f"the table {table.name} of {database.name} cannot be read: {result.message}")
    rows = result.rows or ()
    alone = _alone(table)
    columns = [
        (
            column.name,
            column.name == alone or (table.name, column.name) in keys,
            tuple(row[place] for row in rows if row[place] is not None),
        )
        for place, column in enumerate(table.columns)
    ]
    return make_entity(table.name, columns, len(rows))


def _alone(table: Table) -> str | None:
    """The primary key, where it is one column."""
    primary = [column.name for column in table.columns if column.key == "PRI"]
    return primary[0] if len(primary) == 1 else None


def _declared(table: Table, database: Database) -> list[Reference]:
    """Foreign keys of one column, from the CREATE TABLE statement."""
    try:
        tree = parse_one(table.create, read="mysql") if table.create else None
    except SqlglotError:
        return []
    found: list[Reference] = []
    for key in tree.find_all(exp.ForeignKey) if tree else ():
        target = key.args["reference"].this  # the parent's name with its columns
        parent = database.table(target.this.name)
        if parent is None or len(key.expressions) != 1 or len(target.expressions) != 1:
            continue
        names = (key.expressions[0].name, target.expressions[0].name)
        column, parent_key = _column(table, names[0]), _column(parent, names[1])
        if column and parent_key:
            found.append((table.name, column, parent.name, parent_key))
    return found


def _column(table: Table, name: str) -> str | None:
    """The column's name as the table writes it."""
    return next((column.name for column in table.columns if column.name.lower() == name.lower()), None)


def _inferred(table: Table, database: Database, entities: dict[str, Entity]) -> list[Reference]:
    if table.name not in entities:
        return []
    alone = _alone(table)
    own = {field.name.lower(): field for field in entities[table.name].fields if field.name != alone}
    found: list[Reference] = []
    for parent in database.tables:
        key = _alone(parent)
        field = own.get(key.lower()) if key else None
        if field is None or parent.name == table.name or parent.name not in entities:
            continue
        target = next(each for each in entities[parent.name].fields if each.name == key)
        if field.values and set(field.values) <= set(target.values):
            found.append((table.name, field.name, parent.name, target.name))
    return found
