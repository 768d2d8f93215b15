"""All nodes of a parsed statement, walked once."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

from sqlglot import exp

N = TypeVar("N", bound=exp.Expr)


class Nodes:
    """The nodes of a tree, breadth first, as `find_all` gives them: one walk for all who ask."""

    def __init__(self, tree: exp.Expr) -> None:
        self.tree = tree
        self._all = list(tree.walk())
        self._by_class: dict[type[exp.Expr], list[exp.Expr]] = {}
        for node in self._all:
            self._by_class.setdefault(type(node), []).append(node)

    def of(self, *kinds: type[N]) -> list[N]:
        """Those of some kinds."""
        wanted = _with_subclasses(kinds)
        held = [nodes for kind, nodes in self._by_class.items() if kind in wanted]
        if len(held) > 1:
            return [cast(N, node) for node in self._all if type(node) in wanted]
        return cast(list[N], list(held[0])) if held else []

    def first(self, *kinds: type[N]) -> N | None:
        return next(iter(self.of(*kinds)), None)


@cache
def _with_subclasses(kinds: tuple[type[exp.Expr], ...]) -> frozenset[type[exp.Expr]]:
    found: set[type[exp.Expr]] = set()
    left = list(kinds)
    while left:
        kind = left.pop()
        if kind not in found:
            found.add(kind)
            left += kind.__subclasses__()
    return frozenset(found)
