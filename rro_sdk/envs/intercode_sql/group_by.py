"""MySQL 8's only_full_group_by: what it refuses and MariaDB and SQLite would answer with some row.

A column may stand outside of an aggregate where the GROUP BY determines it: it is grouped by, equal to
something determined, or in a table whose key is determined (MySQL 8.0 manual, section 14.19.4). Where
that cannot be told here (columns of derived tables), nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlglot import exp

from rro_sdk.envs.intercode_sql.catalog import Database, Table
from rro_sdk.envs.intercode_sql.nodes import Nodes

Name = tuple[str, str]
"""A column as (alias of its source, name), lower case."""


def refused(nodes: Nodes, database: Database) -> str | None:
    """MySQL's message for the first select that breaks the rule, or None."""
    selects = [
        select for select in nodes.of(exp.Select) if select.args.get("group") or select.args.get("order")
    ]
    if not selects:
        return None
    ctes = {cte.alias.lower() for cte in nodes.of(exp.CTE)}
    for select in selects:
        message = _Select(select, database, ctes).refused()
        if message is not None:
            return message
    return None


class _Select:
    def __init__(self, select: exp.Select, database: Database, ctes: set[str]) -> None:
        self._select = select
        self._database = database
        self._sources: dict[str, Table | None] = {}
        self._certain = True
        start = select.args.get("from_")
        joins = select.args.get("joins") or []
        for source in [*([start.this] if start is not None else []), *(join.this for join in joins)]:
            known = isinstance(source, exp.Table) and not source.args.get("joins")
            table = database.table(source.name) if known and source.name.lower() not in ctes else None
            self._sources[(source.alias or source.name).lower()] = table
            self._certain = self._certain and table is not None

    def refused(self) -> str | None:
        if self._select.args.get("group") is not None:
            return self._beside_groups()
        if _has_aggregate(self._select.expressions):
            return None  # without GROUP BY: see `refusals`
        return self._aggregate_order() or self._distinct_order()

    def _beside_groups(self) -> str | None:
        group = self._select.args["group"]
        if not self._certain or any(group.args.get(each) for each in ("rollup", "cube", "grouping_sets")):
            return None
        grouped = [self._meant(each) for each in group.expressions]
        # Columns go by name, for an expression's hash costs more than all else here.
        written = {each for each in grouped if not isinstance(each, exp.Column)}
        direct = {name for each in grouped if isinstance(each, exp.Column) and (name := self._name(each))}
        determined: set[Name] | None = None
        order = self._select.args.get("order")
        listed: list[tuple[str, int, exp.Expr]] = [
            ("SELECT list", place, each) for place, each in enumerate(self._expanded(), 1)
        ]
        if order is not None:
            listed += [
                ("ORDER BY clause", place, self._meant(each.this))
                for place, each in enumerate(order.expressions, 1)
            ]
        for clause, place, each in listed:
            for column in _outside_aggregates(each, written):
                name = self._name(column)
                if name is None or name in direct:
                    continue
                if determined is None:
                    determined = self._closure(direct)
                if name not in determined:
                    return (
                        f"Expression #{place} of {clause} is not in GROUP BY clause and contains "
                        f"nonaggregated column '{self._shown(name)}' which is not functionally dependent "
                        "on columns in GROUP BY clause; this is incompatible with "
                        "sql_mode=only_full_group_by"
                    )
        return None

    def _expanded(self) -> Iterator[exp.Expr]:
        """The select list with its stars written out."""
        for each in self._select.expressions:
            bare = each.unalias()
            star = isinstance(bare, exp.Star)
            if not star and not (isinstance(bare, exp.Column) and isinstance(bare.this, exp.Star)):
                yield bare
                continue
            for alias, table in self._sources.items():
                if table is not None and (star or alias == bare.table.lower()):
                    for column in table.columns:
                        yield exp.column(column.name, table=alias)

    def _aggregate_order(self) -> str | None:
        order = self._select.args.get("order")
        for place, each in enumerate(order.expressions if order is not None else (), 1):
            if _has_aggregate([each.this]):
                return (
                    f"Expression #{place} of ORDER BY contains aggregate function and applies to the result "
                    "of a non-aggregated query"
                )
        return None

    def _distinct_order(self) -> str | None:
        order = self._select.args.get("order")
        if self._select.args.get("distinct") is None or order is None or not self._certain:
            return None
        listed = [each.unalias() for each in self._select.expressions]
        if any(isinstance(each, exp.Star) or each.find(exp.Star) for each in listed):
            return None
        written = {each for each in listed if not isinstance(each, exp.Column)}
        shown = {name for each in listed if isinstance(each, exp.Column) and (name := self._name(each))}
        for place, each in enumerate(order.expressions, 1):
            meant = self._meant(each.this)
            for column in _outside_aggregates(meant, written):
                name = self._name(column)
                if name is not None and name not in shown:
                    return (
                        f"Expression #{place} of ORDER BY clause is not in SELECT list, references column "
                        f"'{self._shown(name)}' which is not in SELECT list; this is incompatible with "
                        "DISTINCT"
                    )
        return None

    def _meant(self, node: exp.Expr) -> exp.Expr:
        """What a term of GROUP BY or ORDER BY stands for: a column, a position or an alias of the list."""
        listed = self._select.expressions
        if isinstance(node, exp.Literal) and node.is_int:
            place = int(node.name)
            return listed[place - 1].unalias() if 1 <= place <= len(listed) else node
        if isinstance(node, exp.Column) and not node.table:
            # ORDER BY takes an alias first, GROUP BY a column: they differ where an alias hides a column.
            for each in listed:
                if isinstance(each, exp.Alias) and each.alias.lower() == node.name.lower():
                    return each.unalias()
        return node

    def _name(self, column: exp.Column) -> Name | None:
        """Which column of this select's tables is meant; None for an outer one and one that is not there."""
        wanted, source = column.name.lower(), column.table.lower()
        for alias, table in self._sources.items():
            if (not source or alias == source) and table is not None and _has(table, wanted):
                return (alias, wanted)
        return None

    def _shown(self, name: Name) -> str:
        alias, column = name
        table = self._sources[alias]
        spelt = (
            next((each.name for each in table.columns if each.name.lower() == column), column)
            if table
            else column
        )
        return f"{self._database.name.lower()}.{alias}.{spelt}"

    def _closure(self, start: Iterable[Name]) -> set[Name]:
        """All columns that those determine."""
        determined = set(start)
        rules = list(self._equalities())
        while True:
            before = len(determined)
            for given, found in rules:
                if given is None or given in determined:
                    determined.add(found)
            for alias, table in self._sources.items():
                if table is not None and any(
                    all((alias, part) in determined for part in key) for key in _keys(table)
                ):
                    determined |= {(alias, column.name.lower()) for column in table.columns}
            if len(determined) == before:
                return determined

    def _equalities(self) -> Iterator[tuple[Name | None, Name]]:
        """(known, determined) by the equalities that hold for every row; a constant is always known: None."""
        where = self._select.args.get("where")
        conditions = list(_conjuncts(where.this)) if where is not None else []
        for join in self._select.args.get("joins") or []:
            on = join.args.get("on")
            outer = join.side.upper() in ("LEFT", "RIGHT", "FULL")
            inner = (join.this.alias or join.this.name).lower()
            for each in _conjuncts(on) if on is not None else ():
                yield from self._equality(each, only=inner if outer else None)
            for column in join.args.get("using") or []:
                owners = [
                    (a, column.name.lower())
                    for a, t in self._sources.items()
                    if t and _has(t, column.name.lower())
                ]
                for one in owners:
                    yield from ((one, other) for other in owners if other != one)
        for each in conditions:
            yield from self._equality(each, only=None)

    def _equality(self, node: exp.Expr, only: str | None) -> Iterator[tuple[Name | None, Name]]:
        if not isinstance(node, exp.EQ):
            return
        for one, other in ((node.left, node.right), (node.right, node.left)):
            name = self._name(other) if isinstance(other, exp.Column) else None
            if name is None or (only is not None and name[0] != only):
                continue
            if isinstance(one, exp.Column):
                given = self._name(one)
                if given is not None:
                    yield given, name
            elif isinstance(one, exp.Literal) and only is None:
                yield None, name


def _has(table: Table, column: str) -> bool:
    return column in table.names


def _keys(table: Table) -> Iterator[list[str]]:
    """Sets of columns that determine a row: the primary key, and unique columns without NULL."""
    primary = [column.name.lower() for column in table.columns if column.key == "PRI"]
    if primary:
        yield primary
    for column in table.columns:
        if column.key == "UNI" and not column.nullable:
            yield [column.name.lower()]


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Paren):
        yield from _conjuncts(node.this)
    elif isinstance(node, exp.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _has_aggregate(expressions: Iterable[exp.Expr]) -> bool:
    return any(
        isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Window)
        for each in expressions
        for node in _walk(each)
    )


def _outside_aggregates(tree: exp.Expr, written: set[exp.Expr]) -> Iterator[exp.Column]:
    """Columns that are in no aggregate, no nested query and no expression that is itself grouped by."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Column):
            if not isinstance(node.this, exp.Star):
                yield node
        elif not isinstance(node, _WALLS) and not (written and node in written):
            stack.extend(node.iter_expressions())


_WALLS = (exp.AggFunc, exp.AnyValue, exp.Query)


def _walk(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of an expression without those of nested queries."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if not isinstance(node, exp.Query):
            yield node
            stack.extend(node.iter_expressions())
