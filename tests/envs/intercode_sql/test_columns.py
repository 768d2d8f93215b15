"""Unknown columns are found without an engine, and never where there might be one."""

from __future__ import annotations

import pytest

from rro_sdk.envs.intercode_sql import columns
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import Failure
from rro_sdk.envs.intercode_sql.nodes import Nodes
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.envs.intercode_sql.syntax import Syntax


def unknown(library: Library, statement: str) -> str | None:
    syntax = Syntax()
    tree = syntax.tree(syntax.tokens(statement), statement)
    database = library.catalog.database("bakery")
    assert tree is not None
    assert database is not None
    return columns.unknown(Nodes(tree), database)


@pytest.mark.parametrize(
    ("statement", "name", "clause"),
    [
        ("SELECT nam FROM baker", "nam", "field list"),
        ("SELECT name, MAX(ag) FROM baker GROUP BY name", "ag", "field list"),
        ("SELECT b.nam FROM baker AS b", "b.nam", "field list"),
        ("SELECT baker.name FROM baker AS b", "baker.name", "field list"),
        ("SELECT name FROM baker WHERE city = 'Lund' AND ag = 3", "city", "where clause"),
        ("SELECT name, title FROM baker, bread WHERE prize > 3", "prize", "where clause"),
        ("SELECT name FROM baker AS b JOIN sale AS s ON b.id = s.baker WHERE x = 1", "x", "where clause"),
        ("SELECT b.id FROM baker b JOIN sale s ON b.x = s.y JOIN bread c ON c.z = s.id", "c.z", "on clause"),
        ("SELECT name AS n FROM baker GROUP BY n, m", "m", "group statement"),
        ("SELECT name AS n FROM baker ORDER BY n, m", "m", "order clause"),
        ("SELECT id FROM baker, bread WHERE x = 1", None, ""),  # ambiguous before anything else
        ("SELECT name AS n FROM baker ORDER BY n", None, ""),
        ("SELECT * FROM baker WHERE NAME = 'Ada'", None, ""),
        ("SELECT x FROM (SELECT name AS x FROM baker) AS t", None, ""),
        ("SELECT x FROM baker WHERE id IN (SELECT baker_id FROM sale)", None, ""),
        ("SELECT x FROM baker UNION SELECT y FROM bread", None, ""),
        ("SELECT something(x) FROM baker", None, ""),
    ],
)
def test_what_is_certain_is_said(
    bakery_library: Library, statement: str, name: str | None, clause: str
) -> None:
    message = unknown(bakery_library, statement)
    assert message == (f"Unknown column '{name}' in '{clause}'" if name else None)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT nam FROM baker GROUP BY name",
        "SELECT b.nam FROM baker AS b",
        "SELECT name FROM baker WHERE city = 'Lund'",
    ],
)
def test_the_engine_says_the_same(runner: Runner, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    found = runner.run("bakery", statement)
    assert isinstance(found, Failure)
    monkeypatch.setattr(columns, "unknown", lambda nodes, database: None)
    assert runner.run("bakery", statement) == found
