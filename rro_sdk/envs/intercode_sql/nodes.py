"""All nodes of a parsed statement, walked once."""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TypeVar, cast

from sqlglot import exp

N = TypeVar("N", bound=exp.Expr)


class Nodes:
    """The nodes of a tree, breadth first, as `find_all` gives them: one walk for all who ask."""

    def __init__(self, tree: exp.Expr) -> None:
        self.tree = tree
        self._by_class: dict[type[exp.Expr], list[tuple[int, exp.Expr]]] = {}
        for place, node in enumerate(tree.walk()):
            self._by_class.setdefault(type(node), []).append((place, node))

    def of(self, *kinds: type[N]) -> list[N]:
        """Those of some kinds."""
        wanted = _with_subclasses(kinds)
        held = [nodes for kind, nodes in self._by_class.items() if kind in wanted]
        if not held:
            return []
        found = held[0] if len(held) == 1 else sorted(chain(*held), key=_place)
        return [cast(N, node) for _, node in found]

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


def _place(entry: tuple[int, exp.Expr]) -> int:
    return entry[0]
