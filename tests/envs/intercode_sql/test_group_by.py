"""only_full_group_by: what MySQL 8 refuses, and what it can see to be determined."""

from __future__ import annotations

import pytest

from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.runner import Runner

JOINED = "baker AS b JOIN sale AS s ON b.id = s.baker_id"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT town, COUNT(*) FROM baker GROUP BY town",
        "SELECT UPPER(town) FROM baker GROUP BY town ORDER BY town, COUNT(*)",
        "SELECT UPPER(town), COUNT(*) FROM baker GROUP BY UPPER(town)",
        "SELECT town AS t, COUNT(*) FROM baker GROUP BY t ORDER BY t",
        "SELECT town, COUNT(*) FROM baker GROUP BY 1",
        # the primary key determines the row, directly or over an equality
        "SELECT name, age FROM baker GROUP BY id",
        f"SELECT b.name, COUNT(*) FROM {JOINED} GROUP BY b.id",
        f"SELECT b.name, COUNT(*) FROM {JOINED} GROUP BY s.baker_id",
        "SELECT b.name FROM baker AS b, sale AS s WHERE b.id = s.baker_id GROUP BY s.baker_id",
        "SELECT b.name, SUM(s.loaves) FROM baker b LEFT JOIN sale s ON b.id = s.baker_id GROUP BY b.id",
        "SELECT * FROM baker GROUP BY id",
        "SELECT town, name FROM baker WHERE name = 'Ada' GROUP BY town",
        # columns of a derived table: nothing can be told
        "SELECT a, b FROM (SELECT town AS a, name AS b FROM baker) AS x GROUP BY a",
        "SELECT MAX(age) FROM baker ORDER BY MAX(age)",
        "SELECT DISTINCT town FROM baker ORDER BY town",
        "SELECT DISTINCT town AS t FROM baker ORDER BY t",
        "SELECT DISTINCT * FROM baker ORDER BY age",
        # a column of the query around is one value inside
        "SELECT name FROM baker WHERE age IN (SELECT age FROM sale GROUP BY age)",
    ],
)
def test_what_is_determined_passes(runner: Runner, statement: str) -> None:
    result = runner.run("bakery", statement)
    assert isinstance(result, Rows), result


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "SELECT town, name FROM baker GROUP BY town",
            "Expression #2 of SELECT list is not in GROUP BY clause and contains nonaggregated column "
            "'bakery.baker.name' which is not functionally dependent on columns in GROUP BY clause; "
            "this is incompatible with sql_mode=only_full_group_by",
        ),
        (f"SELECT s.loaves FROM {JOINED} GROUP BY b.id", "column 'bakery.s.loaves'"),
        ("SELECT * FROM sale GROUP BY baker_id", "Expression #2 of SELECT list"),
        ("SELECT b.* FROM baker AS b GROUP BY town", "Expression #1 of SELECT list"),
        ("SELECT town FROM baker GROUP BY town ORDER BY age", "Expression #1 of ORDER BY clause"),
        # an outer join determines nothing of the side that is kept
        (
            "SELECT b.name FROM baker b LEFT JOIN sale s ON b.id = s.baker_id GROUP BY s.baker_id",
            "column 'bakery.b.name'",
        ),
        (
            "SELECT name FROM baker ORDER BY COUNT(*) LIMIT 1",
            "Expression #1 of ORDER BY contains aggregate function and applies to the result of a "
            "non-aggregated query",
        ),
        ("SELECT DISTINCT town FROM baker ORDER BY age", "incompatible with DISTINCT"),
        ("SELECT MAX(n) FROM (SELECT town, name AS n FROM baker GROUP BY town) AS x", "Expression #2"),
    ],
)
def test_what_is_not_is_refused_as_mysql_does(runner: Runner, statement: str, words: str) -> None:
    result = runner.run("bakery", statement)
    assert isinstance(result, Failure), result
    assert words in result.message


def test_an_unknown_column_is_the_first_complaint(runner: Runner) -> None:
    result = runner.run("bakery", "SELECT name, nam FROM baker GROUP BY town")
    assert result == Failure("Unknown column 'nam' in 'field list'")


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        # as met, for want of an index
        ("SELECT bread_id, COUNT(*) FROM sale GROUP BY bread_id", ((2, 2), (1, 2), (3, 1))),
        ("SELECT s.bread_id AS b FROM sale AS s WHERE loaves > 3 GROUP BY b LIMIT 1", ((2,),)),
        ("SELECT loaves FROM sale GROUP BY loaves HAVING loaves < 8", ((5,), (7,), (3,))),
        # by the index, or as asked
        ("SELECT id, COUNT(*) FROM bread GROUP BY id", ((1, 1), (2, 1), (3, 1))),
        ("SELECT bread_id, COUNT(*) FROM sale GROUP BY bread_id ORDER BY bread_id", ((1, 2), (2, 2), (3, 1))),
    ],
)
def test_groups_come_in_the_order_in_which_they_were_met(
    runner: Runner, statement: str, rows: tuple[tuple[int, ...], ...]
) -> None:
    assert runner.run("bakery", statement) == Rows(rows)
