"""What questions can be asked about: tables, their columns with real values, and how they join. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Literal

from sqlglot.dialects.mysql import MySQL

from rro_sdk.synthesis.sql.wording import column_phrase, many, table_phrase

Kind = Literal["key", "number", "category", "label", "other"]
"""A column that joins tables; one to compute with; a text that groups rows; one that names them; the rest."""

LONGEST_VALUE = 40
"""Characters of a value that a question may quote."""

_QUOTABLE = re.compile(r"[^'\"\\\s`]+(?: [^'\"\\\s`]+)*")
_IDENTIFIES = re.compile(r"(?i:^u?id$|_id$)|[a-z]I[dD]$")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABELLING = frozenset({"year", "rank", "code", "grade", "zip", "phone", "position", "no", "number", "major"})
"""Words for numbers that stand for something else."""

_RESERVED = MySQL.Generator.RESERVED_KEYWORDS
"""MySQL's, in lower case."""


@dataclass(frozen=True)
class Field:
    """One column. `values` are those of all rows, NULL left out; `rows` counts all."""

    table: str
    name: str
    kind: Kind
    phrase: str
    values: tuple[object, ...]
    rows: int

    @cached_property
    def distinct(self) -> tuple[object, ...]:
        """The different values, in order."""
        return tuple(sorted(set(self.values), key=lambda value: (isinstance(value, str), value)))

    @cached_property
    def quotable(self) -> tuple[str, ...]:
        """The different values that a question can quote as they stand."""
        return tuple(value for value in self.distinct if isinstance(value, str) and quotable(value))

    @property
    def complete(self) -> bool:
        """No NULL: NULL sorts before everything in MySQL, so that "the lowest" would mean it."""
        return len(self.values) == self.rows

    @property
    def additive(self) -> bool:
        """Whether sums and means of it say something."""
        return not _LABELLING & set(self.phrase.split())

    @property
    def sql(self) -> str:
        return identifier(self.name)


@dataclass(frozen=True)
class Entity:
    """One table with rows. `phrase` is a row of it in words, singular."""

    name: str
    phrase: str
    fields: tuple[Field, ...]
    rows: int

    @property
    def quoted(self) -> list[Field]:
        """Columns with at least two values that a question can quote."""
        return [field for field in self.of("category", "label") if len(field.quotable) > 1]

    def of(self, *kinds: Kind) -> list[Field]:
        return [field for field in self.fields if field.kind in kinds]

    @property
    def plural(self) -> str:
        return many(self.phrase)

    @property
    def sql(self) -> str:
        return identifier(self.name)


@dataclass(frozen=True)
class Link:
    """A foreign key: `child.column` holds a value of `parent.key`. `role` tells two of one child apart."""

    child: Entity
    column: str
    parent: Entity
    key: str
    role: str = ""

    @property
    def phrase(self) -> str:
        """A row of the child in words."""
        return self.child.phrase + self.role

    @property
    def plural(self) -> str:
        return self.child.plural + self.role


@dataclass(frozen=True)
class Schema:
    """A database as questions see it: tables without rows are left out."""

    name: str
    entities: tuple[Entity, ...]
    links: tuple[Link, ...]


def identifier(name: str) -> str:
    """A name as MySQL takes it: quoted where it must be."""
    plain = _PLAIN_NAME.fullmatch(name) and name.lower() not in _RESERVED
    return name if plain else "`" + name.replace("`", "``") + "`"


def quotable(value: str) -> bool:
    """Whether a question can quote the text as it stands."""
    return len(value) <= LONGEST_VALUE and bool(_QUOTABLE.fullmatch(value))


def number_text(value: object) -> str:
    """A number as a person writes it: 4.0 is 4."""
    if isinstance(value, float | Decimal) and value == int(value):
        return str(int(value))
    return str(value)


def make_entity(table: str, columns: Iterable[tuple[str, bool, tuple[object, ...]]], rows: int) -> Entity:
    """A table from its columns.

    Args:
        table: its name.
        columns: (name, whether it is a key, all values without NULL), in order.
        rows: how many it has.
    """
    named = list(columns)
    short = [column_phrase(name, table) for name, _, _ in named]
    fields = tuple(
        Field(
            table,
            name,
            kind_of(name, key, values, rows),
            phrase if short.count(phrase) == 1 else column_phrase(name, ""),
            values,
            rows,
        )
        for (name, key, values), phrase in zip(named, short, strict=True)
    )
    return Entity(table, table_phrase(table), fields, rows)


def kind_of(name: str, key: bool, values: tuple[object, ...], rows: int) -> Kind:
    """What a column is good for, by its values."""
    texts = all(isinstance(value, str) for value in values)
    if _IDENTIFIES.search(name) or (key and not texts):
        return "key"
    different = len(set(values))
    if different < 2 or len(values) * 2 < rows:
        return "other"
    if all(isinstance(value, int | float | Decimal) for value in values):
        return "number"
    if not texts or sum(len(str(value)) for value in values) > len(values) * LONGEST_VALUE:
        return "other"
    return "category" if different * 2 <= len(values) or different <= min(6, rows - 1) else "label"
