"""Spider's four levels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rro_sdk.synthesis.sql.difficulty import difficulty


@pytest.mark.parametrize(
    ("statement", "level"),
    [
        ("SELECT COUNT(*) FROM t", "easy"),
        ("SELECT a FROM t WHERE b = 1", "easy"),
        ("SELECT a, b FROM t WHERE b = 1", "medium"),
        ("SELECT a FROM t WHERE b = 1 ORDER BY c", "medium"),
        ("SELECT a FROM t WHERE b = 1 ORDER BY c DESC LIMIT 1", "hard"),
        ("SELECT a FROM t WHERE b > (SELECT AVG(b) FROM t)", "hard"),
        (
            "SELECT a FROM t JOIN u ON t.x = u.x WHERE b = 1 OR c = 2 GROUP BY a ORDER BY COUNT(*) LIMIT 1",
            "extra",
        ),
    ],
)
def test_levels(statement: str, level: str) -> None:
    assert difficulty(statement) == level


def test_it_agrees_with_the_levels_of_spider(data_folder: Path) -> None:
    """Spider's own program miscounts a few, such as an aggregate in HAVING, so not with all."""
    rows = [json.loads(line) for line in (data_folder / "sql" / "questions.jsonl").open()]
    same = sum(difficulty(row["gold"]) == row["hardness"] for row in rows)
    assert same / len(rows) > 0.97
