"""MySQL's result types, as far as a printed row shows them, and SQLite values turned into them.

MySQL's client gives `Decimal` for SUM over integers, `datetime.date` for a DATE column and so on;
SQLite knows only integers, floats and text. The type of a result column is inferred from the
statement (`inference`), and its values are turned into what the original would have printed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal

import msgspec

Kind = Literal["int", "decimal", "float", "text", "date", "datetime"]

Cell = object
"""One value of a result row: None, int, float, str, bytes, Decimal, date or datetime."""

_PLENTY = Context(prec=80)


class SqlType(msgspec.Struct, frozen=True):
    """A type; `scale` counts the digits after the point of a decimal, or of a FLOAT(M,D)."""

    kind: Kind
    scale: int | None = None

    @property
    def numeric(self) -> bool:
        return self.kind in ("int", "decimal", "float")

    @property
    def temporal(self) -> bool:
        return self.kind in ("date", "datetime")


INT = SqlType("int")
DOUBLE = SqlType("float")
TEXT = SqlType("text")
DATE = SqlType("date")
DATETIME = SqlType("datetime")

MAX_SCALE = 30
"""MySQL's limit on a decimal's scale."""


def decimal(scale: int) -> SqlType:
    return SqlType("decimal", min(scale, MAX_SCALE))


@lru_cache(maxsize=1_000)
def column_type(mysql_type: str) -> SqlType:
    """The type of a column declared as `mysql_type`, such as `decimal(19,4)`."""
    name, _, rest = mysql_type.partition("(")
    _, _, digits = rest.rstrip(")").partition(",")
    scale = int(digits) if digits.strip().isdigit() else None
    if name in ("int", "bigint", "smallint", "tinyint", "mediumint", "year"):
        return INT
    if name == "decimal":
        return decimal(scale or 0)
    if name in ("float", "double"):
        return SqlType("float", scale)
    if name == "date":
        return DATE
    if name in ("datetime", "timestamp"):
        return DATETIME
    return TEXT


def unify(left: SqlType | None, right: SqlType | None) -> SqlType | None:
    """The type of a value that comes from one of two expressions (CASE, IF, UNION)."""
    if left is None or right is None:
        return left or right
    if left == right:
        return left
    if left.numeric and right.numeric:
        if "float" in (left.kind, right.kind):
            return DOUBLE
        return decimal(max(left.scale or 0, right.scale or 0))
    if left.temporal and right.temporal:
        return DATETIME
    return TEXT


def present(row: Sequence[Cell], types: Sequence[SqlType | None]) -> tuple[Cell, ...]:
    """One row as MySQL's client would have given it."""
    return tuple(
        value if kind is None else _present(value, kind) for value, kind in zip(row, types, strict=True)
    )


def _present(value: Cell, kind: SqlType) -> Cell:
    if isinstance(value, int | float):
        if kind.kind == "decimal":
            return _as_decimal(value, kind.scale or 0)
        if kind.kind == "float":
            return round(float(value), kind.scale) if kind.scale is not None else float(value)
        if kind.kind == "int" and isinstance(value, float) and value.is_integer():
            return int(value)
        return value
    if isinstance(value, str) and kind.temporal:
        return _as_time(value, kind)
    return value


def _as_decimal(value: int | float, scale: int) -> Cell:
    try:
        return Decimal(repr(value)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _PLENTY)
    except InvalidOperation:
        # Infinity, or more digits than any decimal has: shown as the float it is.
        return value


def _as_time(value: str, kind: SqlType) -> Cell:
    try:
        if kind.kind == "date":
            return datetime.date.fromisoformat(value[:10])
        return datetime.datetime.fromisoformat(value)
    except ValueError:
        return value
