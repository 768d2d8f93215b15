"""What type each column of a statement's result has, and comparisons made as MySQL makes them.

One walk over the parsed statement, query by query, each with its own scope. What cannot be resolved
has no type and stays as it is: a wrong name is SQLite's to report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from rro_sdk.envs.intercode_sql.catalog import Database
from rro_sdk.envs.intercode_sql.sqltypes import (
    DATE,
    DATETIME,
    DOUBLE,
    INT,
    TEXT,
    SqlType,
    column_type,
    decimal,
    unify,
)

Shape = Sequence[tuple[str, SqlType | None]]
"""Result columns: lower-case name and type."""

INT_FUNCTIONS = (
    exp.Count, exp.Length, exp.Year, exp.Month, exp.Day, exp.DayOfMonth, exp.DayOfWeek, exp.DayOfYear,
    exp.Hour, exp.Minute, exp.Second, exp.Week, exp.Quarter, exp.DateDiff, exp.TimestampDiff, exp.StrPosition,
    exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ceil, exp.Floor, exp.Sign, exp.Ascii, exp.IntDiv,
    exp.Predicate, exp.Not, exp.Connector, exp.Boolean,
)  # fmt: skip
TEXT_FUNCTIONS = (
    exp.Concat, exp.ConcatWs, exp.GroupConcat, exp.Lower, exp.Upper, exp.Substring, exp.Left, exp.Right,
    exp.Trim, exp.Replace, exp.TimeToStr, exp.SubstringIndex, exp.Reverse, exp.Pad,
)  # fmt: skip
FLOAT_FUNCTIONS = (exp.Sqrt, exp.Ln, exp.Log, exp.Exp, exp.Pow, exp.Stddev, exp.StddevPop, exp.StddevSamp,
                   exp.Variance, exp.VariancePop, exp.Rand)  # fmt: skip
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ)


@dataclass(slots=True)
class Scope:
    """The sources of one SELECT by alias, and the scope around it."""

    sources: dict[str, Shape] = field(default_factory=dict)
    outer: Scope | None = None

    def holds(self, column: exp.Column) -> bool:
        """Whether one of the sources of this very SELECT has it, or may have it."""
        name, table = column.name.lower(), column.table.lower()
        return any(
            (not table or alias == table) and (not shape or any(known == name for known, _ in shape))
            for alias, shape in self.sources.items()
        )

    def anywhere(self, column: exp.Column) -> bool:
        """Whether this or an outer scope holds it."""
        return self.holds(column) or (self.outer is not None and self.outer.anywhere(column))

    def type_of(self, column: exp.Column) -> SqlType | None:
        name, table = column.name.lower(), column.table.lower()
        here: Scope | None = self
        while here is not None:
            for alias, shape in here.sources.items():
                if table and alias != table:
                    continue
                for known, kind in shape:
                    if known == name:
                        return kind
            here = here.outer
        return None


class Typer:
    """Types the results of one statement over one database, and adapts its comparisons in place."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def query(
        self, tree: exp.Expr, outer: Scope | None = None, ctes: dict[str, Shape] | None = None
    ) -> Shape:
        """The result columns of a query; its comparisons are adapted on the way."""
        known = dict(ctes or {})
        clause = tree.args.get("with_") or tree.args.get("with")
        if clause is not None:
            for cte in clause.expressions:
                known[cte.alias.lower()] = _renamed(self.query(cte.this, outer, known), cte)
        if isinstance(tree, exp.Subquery):
            return self.query(tree.this, outer, known)
        if isinstance(tree, exp.SetOperation):
            left = self.query(tree.this, outer, known)
            right = self.query(tree.expression, outer, known)
            if len(left) != len(right):
                return left
            return [(name, unify(kind, other)) for (name, kind), (_, other) in zip(left, right, strict=True)]
        if isinstance(tree, exp.Select):
            return self._select(tree, outer, known)
        return []

    def _select(self, tree: exp.Select, outer: Scope | None, ctes: dict[str, Shape]) -> Shape:
        scope = Scope(outer=outer)
        start = tree.args.get("from_") or tree.args.get("from")
        joins = tree.args.get("joins") or []
        for source in [*([start.this] if start is not None else []), *(join.this for join in joins)]:
            self._add_source(source, scope, ctes)
        own = _own_nodes(tree, skip=(start, *(join.this for join in joins)))
        # Inner queries first: what they give is a type of the outer expressions.
        inner: dict[int, Shape] = {}
        for nested in own:
            if nested is not tree and isinstance(nested, exp.Query):
                inner[id(nested)] = self.query(nested, scope, ctes)
        _fix_groups(tree, scope)
        reader = _Reader(scope, inner)
        for node in own:
            if type(node) in _ADAPTED:
                _adapt(node, reader.type_of)
        return list(self._projections(tree, scope, reader))

    def _add_source(self, source: exp.Expr, scope: Scope, ctes: dict[str, Shape]) -> None:
        name = (source.alias or source.name).lower()
        if isinstance(source, exp.Subquery):
            scope.sources[name or f"#{len(scope.sources)}"] = _renamed(
                self.query(source.this, scope.outer, ctes), source
            )
        elif isinstance(source, exp.Table):
            table = self._database.table(source.name)
            if source.name.lower() in ctes:
                scope.sources[name] = ctes[source.name.lower()]
            elif table is not None:
                scope.sources[name] = table.shape
            else:
                scope.sources[name] = []
        for join in source.args.get("joins") or []:
            self._add_source(join.this, scope, ctes)

    def _projections(
        self, tree: exp.Select, scope: Scope, reader: _Reader
    ) -> Iterator[tuple[str, SqlType | None]]:
        for each in tree.expressions:
            if isinstance(each, exp.Star):
                for shape in scope.sources.values():
                    yield from shape
            elif isinstance(each, exp.Column) and isinstance(each.this, exp.Star):
                yield from scope.sources.get(each.table.lower(), [])
            else:
                yield each.alias_or_name.lower(), reader.type_of(each)


def _fix_groups(tree: exp.Select, scope: Scope) -> None:
    """GROUP BY a column of the query around: one value here, and SQLite does not find it there."""
    group = tree.args.get("group")
    if group is None or scope.outer is None:
        return
    aliases = {each.alias.lower() for each in tree.expressions if isinstance(each, exp.Alias)}
    for each in group.expressions:
        if not isinstance(each, exp.Column) or (not each.table and each.name.lower() in aliases):
            continue
        if not scope.holds(each) and scope.outer.anywhere(each):
            each.replace(exp.Literal.string(""))


class _Reader:
    """Types expressions inside one scope."""

    def __init__(self, scope: Scope, inner: dict[int, Shape]) -> None:
        self._scope = scope
        self._inner = inner

    def type_of(self, node: exp.Expr | None) -> SqlType | None:
        """The type of an expression, None where it is not known."""
        if node is None:
            return None
        if isinstance(node, exp.Column):
            return self._scope.type_of(node)
        if isinstance(node, exp.Alias | exp.Paren | exp.Neg | exp.Min | exp.Max | exp.Window | exp.Distinct):
            child = node.expressions[0] if isinstance(node, exp.Distinct) and node.expressions else node.this
            return self.type_of(child)
        if isinstance(node, exp.Literal):
            return _literal(node)
        if isinstance(node, exp.Query):
            shape = self._inner.get(id(node)) or [("", None)]
            return shape[0][1]
        if isinstance(node, exp.Sum | exp.Avg):
            # Its argument may have been adapted already.
            if node.this.name == "MYSQL_NUMBER":
                return decimal(4 if isinstance(node, exp.Avg) else 0)
            return _aggregate(self.type_of(node.this), 4 if isinstance(node, exp.Avg) else 0)
        if isinstance(node, exp.Binary) and not isinstance(node, exp.Predicate | exp.Connector | exp.IntDiv):
            return self._arithmetic(node)
        if isinstance(node, exp.Round):
            return self._rounded(node)
        if isinstance(
            node, exp.Coalesce | exp.Case | exp.If | exp.Greatest | exp.Least | exp.Nullif | exp.Abs
        ):
            return self._branches(node)
        return _by_class(node)

    def _arithmetic(self, node: exp.Binary) -> SqlType | None:
        left, right = self.type_of(node.left), self.type_of(node.right)
        if left is None or right is None:
            return DOUBLE if isinstance(node, exp.Div) and "float" in (left or right or INT).kind else None
        if not (left.numeric and right.numeric) or "float" in (left.kind, right.kind):
            return DOUBLE
        if isinstance(node, exp.Div):
            return decimal((left.scale or 0) + 4)
        if left == right == INT:
            return INT
        scales = (left.scale or 0, right.scale or 0)
        return decimal(sum(scales) if isinstance(node, exp.Mul) else max(scales))

    def _rounded(self, node: exp.Round) -> SqlType | None:
        kind = self.type_of(node.this)
        if kind is None or kind.kind not in ("decimal", "float"):
            return kind if kind == INT else DOUBLE
        digits = node.args.get("decimals")
        places = int(digits.name) if isinstance(digits, exp.Literal) and digits.name.isdigit() else 0
        if kind.kind == "float":
            return SqlType("float", places)
        return decimal(min(places, kind.scale or 0))

    def _branches(self, node: exp.Expr) -> SqlType | None:
        if isinstance(node, exp.Case):
            values = [branch.args.get("true") for branch in node.args.get("ifs") or []] + [
                node.args.get("default")
            ]
        elif isinstance(node, exp.If):
            values = [node.args.get("true"), node.args.get("false")]
        elif isinstance(node, exp.Nullif | exp.Abs):
            values = [node.this]
        else:
            values = [node.this, *node.expressions]
        kind: SqlType | None = None
        for value in values:
            if value is not None and not isinstance(value, exp.Null):
                kind = unify(kind, self.type_of(value))
        return kind


def _literal(node: exp.Literal) -> SqlType:
    if node.is_string:
        return TEXT
    if "e" in node.name.lower():
        return DOUBLE
    _, point, digits = node.name.partition(".")
    return decimal(len(digits)) if point else INT


def _aggregate(kind: SqlType | None, more_digits: int) -> SqlType | None:
    """SUM and AVG: exact over exact numbers, with four more digits for AVG; double over all else."""
    if kind is None:
        return None
    if kind.kind in ("int", "decimal") or kind.temporal:
        return decimal((kind.scale or 0) + more_digits)
    if kind.kind == "float" and kind.scale is not None:
        return SqlType("float", kind.scale + more_digits)
    return DOUBLE


def _by_class(node: exp.Expr) -> SqlType | None:
    if isinstance(node, exp.Cast):
        return column_type(node.to.sql("mysql").lower().replace(" ", "")) if not _integer(node.to) else INT
    if isinstance(node, INT_FUNCTIONS):
        return INT
    if isinstance(node, TEXT_FUNCTIONS):
        return TEXT
    if isinstance(node, FLOAT_FUNCTIONS):
        return DOUBLE
    if isinstance(
        node, exp.Date | exp.TsOrDsToDate | exp.CurrentDate | exp.StrToDate | exp.DateAdd | exp.DateSub
    ):
        return DATE
    if isinstance(node, exp.CurrentTimestamp) or _is_clock(node):
        return DATETIME
    return None


def _is_clock(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() in ("NOW", "SYSDATE")


def _integer(kind: exp.DataType) -> bool:
    return bool(kind.this in exp.DataType.INTEGER_TYPES)


def _renamed(shape: Shape, source: exp.Expr) -> Shape:
    """A shape under the column list of its alias, as in `WITH a(x, y) AS ...`."""
    names = [name.lower() for name in source.alias_column_names]
    if len(names) != len(shape):
        return shape
    return [(name, kind) for name, (_, kind) in zip(names, shape, strict=True)]


def _own_nodes(tree: exp.Expr, skip: Iterable[exp.Expr | None]) -> list[exp.Expr]:
    """Every node of one SELECT, without its sources, its WITH and the insides of nested queries."""
    left_out = {id(node) for node in skip if node is not None}
    clause = tree.args.get("with_") or tree.args.get("with")
    if clause is not None:
        left_out.add(id(clause))
    own = []
    stack = [tree]
    while stack:
        node = stack.pop()
        own.append(node)
        if node is tree or not isinstance(node, exp.Query):
            stack += [child for child in node.iter_expressions() if id(child) not in left_out]
    return own


_ADAPTED = frozenset({exp.Sum, exp.Avg, *COMPARISONS, exp.Between, exp.In})


def _adapt(node: exp.Expr, type_of: Callable[[exp.Expr | None], SqlType | None]) -> None:
    """Make one node as MySQL means it: text against a number compares as numbers, dates add up as numbers."""
    if isinstance(node, exp.Sum | exp.Avg):
        kind = type_of(node.this)
        if kind is not None and kind.temporal:
            node.set("this", exp.Anonymous(this="MYSQL_NUMBER", expressions=[node.this]))
        return
    if isinstance(node, COMPARISONS):
        operands = [node.this, node.expression]
    elif isinstance(node, exp.Between):
        operands = [node.this, node.args["low"], node.args["high"]]
    elif isinstance(node, exp.In) and node.expressions:
        operands = [node.this, *node.expressions]
    else:
        return
    kinds = [type_of(operand) for operand in operands]
    if any(kind is not None and kind.numeric for kind in kinds) and TEXT in kinds:
        for operand, kind in zip(operands, kinds, strict=True):
            if kind == TEXT and operand is not None and not isinstance(operand, exp.Query):
                operand.replace(exp.cast(operand.copy(), exp.DataType.Type.DOUBLE, copy=False))
    elif DATETIME in kinds:
        for operand in operands:
            if isinstance(operand, exp.Literal) and operand.is_string and len(operand.name) == 10:
                operand.replace(exp.Literal.string(f"{operand.name} 00:00:00"))
