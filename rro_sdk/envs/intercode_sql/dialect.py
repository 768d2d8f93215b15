"""The SQLite that statements are written in: sqlglot's own, with MySQL's functions kept by name.

What SQLite lacks is a function that `functions` registers. Names are quoted with backticks, because
SQLite takes an unknown name in double quotes for a string.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import ErrorLevel
from sqlglot.generator import Generator

Writer = Callable[[Any, Any], str]
"""Writes a node, given the generator."""


def _bare(node: exp.Expr) -> exp.Expr:
    """The argument inside the conversions that sqlglot's parser wraps dates in."""
    while isinstance(node, exp.TsOrDsToDate | exp.TsOrDsToTimestamp):
        node = node.this
    return node


def _part(name: str) -> Writer:
    return lambda self, node: self.func(name, _bare(node.this))


def _shift(self: Generator, node: exp.DateAdd | exp.DateSub) -> str:
    amount, unit = node.expression, node.args.get("unit")
    if isinstance(amount, exp.Interval):
        amount, unit = amount.this, amount.unit or unit
    if isinstance(node, exp.DateSub):
        amount = exp.Neg(this=exp.paren(amount))
    name = exp.Literal.string(unit.name if unit is not None else "DAY")
    return self.func("MYSQL_SHIFT", _bare(node.this), amount, name)


def _group_concat(self: Generator, node: exp.GroupConcat) -> str:
    """MYSQL_GROUP_CONCAT(distinct, separator, value, key, descending, ...)."""
    value, keys = node.this, []
    if isinstance(value, exp.Order):
        for ordered in value.expressions:
            keys += [ordered.this, exp.Literal.number(int(bool(ordered.args.get("desc"))))]
        value = value.this
    distinct = isinstance(value, exp.Distinct)
    if distinct:
        value = (
            value.expressions[0] if len(value.expressions) == 1 else exp.Concat(expressions=value.expressions)
        )
    separator = node.args.get("separator") or exp.Literal.string(",")
    return self.func("MYSQL_GROUP_CONCAT", exp.Literal.number(int(distinct)), separator, value, *keys)


def _count(self: Generator, node: exp.Count) -> str:
    inner = node.this
    if isinstance(inner, exp.Distinct) and len(inner.expressions) > 1:
        return f"COUNT(DISTINCT {self.func('MYSQL_TUPLE', *inner.expressions)})"
    return self.function_fallback_sql(node)


def _cast(self: Generator, node: exp.Cast) -> str:
    kind = node.to
    if kind.this == exp.DataType.Type.DATE:
        return self.func("MYSQL_DATE", node.this)
    if kind.this in (exp.DataType.Type.DATETIME, exp.DataType.Type.TIMESTAMP):
        return self.func("MYSQL_DATETIME", node.this)
    if kind.this == exp.DataType.Type.DECIMAL:
        scale = kind.expressions[1].name if len(kind.expressions) > 1 else "0"
        return f"ROUND(CAST({self.sql(node, 'this')} AS REAL), {scale})"
    if kind.this in exp.DataType.INTEGER_TYPES:
        return f"CAST({self.sql(node, 'this')} AS INTEGER)"
    if kind.this in (exp.DataType.Type.DOUBLE, exp.DataType.Type.FLOAT):
        return f"CAST({self.sql(node, 'this')} AS REAL)"
    return f"CAST({self.sql(node, 'this')} AS TEXT)"


def _like(self: Generator, node: exp.Like) -> str:
    written = self.binary(node, "NOT LIKE" if node.args.get("negate") else "LIKE")
    # MySQL's LIKE escapes with a backslash; SQLite's with nothing unless told.
    escaped = isinstance(node.expression, exp.Literal) and "\\" in node.expression.name
    return f"{written} ESCAPE '\\'" if escaped and not isinstance(node.parent, exp.Escape) else written


def _length(self: Generator, node: exp.Length) -> str:
    inner = self.sql(node, "this")
    return f"LENGTH(CAST({inner} AS BLOB))" if node.args.get("binary") else f"LENGTH({inner})"


_WRITERS: dict[type[exp.Expr], Writer] = {
    **{
        kind: _part(name)
        for kind, name in (
            (exp.Year, "YEAR"),
            (exp.Month, "MONTH"),
            (exp.Day, "DAY"),
            (exp.DayOfMonth, "DAY"),
            (exp.DayOfWeek, "DAYOFWEEK"),
            (exp.DayOfYear, "DAYOFYEAR"),
            (exp.Dayname, "DAYNAME"),
            (exp.Monthname, "MONTHNAME"),
            (exp.Quarter, "QUARTER"),
            (exp.Week, "WEEK"),
            (exp.Hour, "HOUR"),
            (exp.Minute, "MINUTE"),
            (exp.Second, "SECOND"),
            (exp.TsOrDsToDate, "MYSQL_DATE"),
            (exp.Date, "MYSQL_DATE"),
            (exp.TsOrDsToTimestamp, "MYSQL_DATETIME"),
        )
    },
    exp.Cast: _cast,
    exp.Count: _count,
    exp.CurrentDate: lambda self, node: "MYSQL_TODAY()",
    exp.CurrentTimestamp: lambda self, node: "MYSQL_NOW()",
    exp.DateAdd: _shift,
    exp.DateSub: _shift,
    exp.DateDiff: lambda self, node: self.func("DATEDIFF", _bare(node.this), _bare(node.expression)),
    exp.Extract: lambda self, node: self.func(node.this.name.upper(), _bare(node.expression)),
    exp.GroupConcat: _group_concat,
    exp.Left: lambda self, node: self.func("SUBSTR", node.this, exp.Literal.number(1), node.expression),
    exp.Length: _length,
    exp.Like: _like,
    exp.NumberToStr: lambda self, node: self.func("MYSQL_FORMAT", node.this, node.args.get("format")),
    exp.Rand: lambda self, node: "RAND()",
    exp.RegexpLike: lambda self, node: self.func("REGEXP", node.expression, node.this),
    exp.Right: lambda self, node: self.func("MYSQL_RIGHT", node.this, node.expression),
    # MySQL's STDDEV and VARIANCE are those of the population; sqlglot's Variance is VAR_SAMP.
    exp.Stddev: lambda self, node: self.func("STDDEV_POP", node.this),
    exp.StddevPop: lambda self, node: self.func("STDDEV_POP", node.this),
    exp.StddevSamp: lambda self, node: self.func("STDDEV_SAMP", node.this),
    exp.Variance: lambda self, node: self.func("VAR_SAMP", node.this),
    exp.VariancePop: lambda self, node: self.func("VAR_POP", node.this),
    exp.StrToDate: lambda self, node: self.func("STR_TO_DATE", node.this, node.args.get("format")),
    exp.TimeToStr: lambda self, node: self.func("DATE_FORMAT", _bare(node.this), node.args.get("format")),
    exp.TimestampDiff: lambda self, node: self.func(
        "TIMESTAMPDIFF", exp.Literal.string(node.unit.name), _bare(node.expression), _bare(node.this)
    ),
    exp.Trunc: lambda self, node: self.func("MYSQL_TRUNCATE", node.this, node.args.get("decimals")),
    exp.Xor: lambda self, node: (
        f"(({self.sql(node, 'this')}) <> 0) <> (({self.sql(node, 'expression')}) <> 0)"
    ),
}


class _Target(SQLite):
    """SQLite with names in backticks."""

    class Tokenizer(SQLite.Tokenizer):
        IDENTIFIERS = ["`"]  # noqa: RUF012 - sqlglot's way of declaring it


def writer() -> Generator:
    """A generator of this SQLite. It keeps state: one for each thread.

    Our writers go into the instance: sqlglot's compiled generators (`sqlglot[c]`) cannot be inherited from.
    """
    made = _Target().generator(identify=True, unsupported_level=ErrorLevel.IGNORE, comments=False)
    made._dispatch = {**made._dispatch, **_WRITERS}
    return made
