"""MySQL statements on SQLite: what is printed, against what MySQL 8 prints."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.runner import Runner

D = Decimal
DATE = datetime.date
TIME = datetime.datetime


def rows(runner: Runner, statement: str, database: str = "bakery") -> list[tuple[object, ...]] | None:
    result = runner.run(database, statement)
    assert isinstance(result, Rows), result
    return None if result.rows is None else list(result.rows)


def failure(runner: Runner, statement: str, database: str = "bakery") -> str:
    result = runner.run(database, statement)
    assert isinstance(result, Failure), result
    return result.message


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        # numbers: SUM and AVG of integers are exact decimals, / is never integer division
        ("SELECT SUM(age), AVG(age), COUNT(*), MAX(age) FROM baker", [(D("129"), D("43.0000"), 3, 51)]),
        ("SELECT 7 / 2, 7 DIV 2, 7 % 2, 7 / 0", [(D("3.5000"), 3, 1, None)]),
        ("SELECT SUM(price), AVG(price) FROM bread", [(11.0, 11 / 3)]),
        ("SELECT ROUND(AVG(age), 1) FROM baker", [(D("43.0"),)]),
        ("SELECT SUM(age) * 1.5 FROM baker", [(D("193.5"),)]),
        ("SELECT IF(age > 40, 1, 0) AS old FROM baker ORDER BY old", [(0,), (1,), (1,)]),
        ("SELECT COUNT(DISTINCT baker_id, bread_id) FROM sale", [(5,)]),
        ("SELECT TRUNCATE(2.79, 1), FORMAT(12345.678, 2)", [(2.7, "12,345.68")]),
        # text: double quotes are strings, case and accents and trailing spaces do not count
        ('SELECT name FROM baker WHERE name = "ADA"', [("Ada",)]),
        ("SELECT name FROM baker WHERE town = 'lund' ORDER BY id", [("Nils",), ("Ada",)]),
        ("SELECT name FROM baker WHERE town = 'UMEA'", [("Maj",)]),
        ("SELECT name FROM baker WHERE name LIKE 'n%'", [("Nils",)]),
        ("SELECT name FROM baker WHERE name NOT LIKE 'n%' ORDER BY 1", [("Ada",), ("Maj",)]),
        ("SELECT CONCAT(name, '-', town), LENGTH(town), CHAR_LENGTH(town) FROM baker WHERE id = 3",
         [("Maj-Umeå", 5, 4)]),
        ("SELECT LEFT(name, 2), RIGHT(name, 2), UPPER(name) FROM baker WHERE id = 2", [("Ad", "da", "ADA")]),
        ("SELECT GROUP_CONCAT(name ORDER BY age DESC SEPARATOR '|') FROM baker", [("Ada|Nils|Maj",)]),
        ("SELECT GROUP_CONCAT(DISTINCT bread_id) FROM sale", [("2,1,3",)]),
        ("SELECT SUBSTRING_INDEX('a.b.c', '.', 2), CONCAT_WS('-', 'a', NULL, 'b')", [("a.b", "a-b")]),
        ("SELECT name FROM baker WHERE name REGEXP '^(a|m)' ORDER BY id", [("Ada",), ("Maj",)]),
        ("SELECT name FROM baker WHERE name NOT REGEXP '^(a|m)'", [("Nils",)]),
        # order: set operations keep the order in which rows are met
        ("SELECT name FROM baker WHERE id > 1 UNION SELECT name FROM baker", [("Ada",), ("Maj",), ("Nils",)]),
        ("SELECT name FROM baker EXCEPT SELECT 'Ada'", [("Nils",), ("Maj",)]),
        ("(SELECT id FROM baker ORDER BY age LIMIT 1) UNION (SELECT 7)", [(3,), (7,)]),
        # subqueries in a value's place have one row or none; others have any number
        ("SELECT (SELECT name FROM baker WHERE id = 2), (SELECT id FROM baker WHERE 0)", [("Ada", None)]),
        ("SELECT name FROM baker WHERE age = (SELECT age FROM baker ORDER BY age DESC LIMIT 1)", [("Ada",)]),
        ("SELECT name FROM baker WHERE EXISTS (SELECT id FROM baker) AND id IN (SELECT id FROM baker)",
         [("Nils",), ("Ada",), ("Maj",)]),
        ("SELECT name, (SELECT COUNT(*) FROM sale WHERE baker_id = baker.id) FROM baker WHERE id = 1",
         [("Nils", 1)]),
        # what follows parentheses holds
        ("(SELECT id FROM baker) LIMIT 2", [(1,), (2,)]),
        ("((SELECT id FROM baker ORDER BY id DESC) LIMIT 2) LIMIT 1", [(3,)]),
        ("(SELECT id, age FROM baker) ORDER BY age LIMIT 1, 1", [(1, 45)]),
        ("((SELECT id FROM baker) LIMIT 1) UNION SELECT 7", [(1,), (7,)]),
        ("(SELECT name FROM baker) ORDER BY baker.age DESC LIMIT 1", [("Ada",)]),
        ("(SELECT town, COUNT(*) FROM baker GROUP BY town) ORDER BY COUNT(*) DESC LIMIT 1", [("Lund", 2)]),
        ("WITH sale AS (SELECT 2 AS id) SELECT name FROM baker WHERE id = (SELECT id FROM sale)", [("Ada",)]),
        ("SELECT name FROM baker WHERE id = ((SELECT id FROM baker ORDER BY id DESC) LIMIT 1)", [("Maj",)]),
        ("SELECT IF(1, 2, (SELECT id FROM baker)), COALESCE(1, (SELECT id FROM baker))", [(2, 1)]),
        ("WITH old AS (SELECT id FROM baker WHERE age > 40) (SELECT id FROM old) LIMIT 1", [(1,)]),
        # form
        ("SELECT bakery.baker.name FROM bakery.baker LIMIT 1, 1", [("Ada",)]),
        ("SELECT DATABASE()", [("bakery",)]),
        ("SELECT 1 FROM DUAL", [(1,)]),
        ("SELECT 1; DROP TABLE baker", [(1,)]),
        ("WITH old AS (SELECT * FROM baker WHERE age > 40) SELECT COUNT(*) FROM old", [(2,)]),
        ("SELECT name FROM baker WHERE age IN (SELECT MAX(age) FROM baker)", [("Ada",)]),
        ("SELECT TABLE_NAME FROM information_schema.tables "
         "WHERE table_schema = 'BAKERY' AND table_name LIKE 'B%'",
         [("baker",), ("bread",)]),
        ("SELECT column_name FROM information_schema.columns WHERE table_name = 'sale'",
         [("baker_id",), ("bread_id",), ("loaves",)]),
    ],
)  # fmt: skip
def test_prints_what_mysql_prints(runner: Runner, statement: str, expected: list[tuple[object, ...]]) -> None:
    assert repr(rows(runner, statement)) == repr(expected)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT price, rate, made, seen FROM thing WHERE id = 1",
         [(D("12.5000"), 3.25, DATE(2003, 4, 5), TIME(2018, 3, 19, 4, 39, 54))]),
        ("SELECT SUM(price), AVG(price) FROM thing", [(D("12.8333"), D("6.41665000"))]),
        ("SELECT AVG(rate), SUM(rate), MIN(rate) FROM thing", [(0.783333, 2.35, -2.0)]),
        ("SELECT MAX(made), MIN(seen) FROM thing", [(DATE(2004, 2, 29), TIME(2018, 3, 19))]),
        ("SELECT x.m FROM (SELECT MAX(made) AS m FROM thing) AS x", [(DATE(2004, 2, 29),)]),
        ("SELECT * FROM (SELECT id, made FROM thing WHERE id = 2) AS x", [(2, DATE(2004, 2, 29))]),
        ("SELECT COALESCE(price, 0), CASE WHEN price IS NULL THEN 0 ELSE price END FROM thing WHERE id = 3",
         [(D("0.0000"), D("0.0000"))]),
        ("SELECT CAST(price AS SIGNED), CAST(price AS DECIMAL(10,1)), CAST(price AS CHAR) "
         "FROM thing WHERE id = 1",
         [(12, D("12.5"), "12.5")]),
        ("SELECT AVG(made) FROM thing", [(D("20035317.0000"),)]),
        # text against a number compares as numbers, whatever the text begins with
        ("SELECT code FROM thing WHERE year > 8 ORDER BY id", [("A1",), ("b2",)]),
        ("SELECT code FROM thing WHERE year = 0", [("it's \"x\"",)]),
        ("SELECT code FROM thing WHERE year BETWEEN 9 AND 10 ORDER BY id", [("A1",), ("b2",)]),
        ("SELECT code FROM thing WHERE id = '2'", [("b2",)]),
        ("SELECT code FROM thing WHERE year IN (9, 11)", [("A1",)]),
        # dates
        ("SELECT YEAR(made), MONTH(made), DAY(made), DAYNAME(made) FROM thing WHERE id = 1",
         [(2003, 4, 5, "Saturday")]),
        ("SELECT YEAR(year) FROM thing WHERE id = 2", [(None,)]),
        ("SELECT id FROM thing WHERE seen = '2018-03-19'", [(3,)]),
        ("SELECT id FROM thing WHERE DATE(seen) = '2018-03-19' ORDER BY id", [(1,), (3,)]),
        ("SELECT TIMESTAMPDIFF(YEAR, made, '2013-04-04'), DATEDIFF('2003-05-05', made) "
         "FROM thing WHERE id = 1",
         [(9, 30)]),
        ("SELECT DATE_ADD(made, INTERVAL 1 YEAR), DATE_SUB(made, INTERVAL 2 DAY) FROM thing WHERE id = 2",
         [(DATE(2005, 2, 28), DATE(2004, 2, 27))]),
        ("SELECT DATE_FORMAT(made, '%d %M %Y'), STR_TO_DATE('5 April 2003', '%d %M %Y') "
         "FROM thing WHERE id = 1",
         [("05 April 2003", DATE(2003, 4, 5))]),
        ("SELECT CURDATE(), EXTRACT(YEAR FROM made) FROM thing WHERE id = 1", [(DATE(2023, 6, 1), 2003)]),
        ("SELECT STDDEV(id), VARIANCE(id), VAR_SAMP(id) FROM thing", [((2 / 3) ** 0.5, 2 / 3, 1.0)]),
        ("SELECT LPAD('7', 3, '0'), ROUND(-2.5), 5 XOR 0", [("007", D("-3"), 1)]),
    ],
)  # fmt: skip
def test_keeps_mysqls_types(runner: Runner, statement: str, expected: list[tuple[object, ...]]) -> None:
    assert repr(rows(runner, statement, "kinds")) == repr(expected)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM loaf", "Table 'bakery.loaf' doesn't exist"),
        ("SELECT name FROM baker WHERE age = (SELECT age FROM baker)", "Subquery returns more than 1 row"),
        ("SELECT (SELECT id FROM baker UNION SELECT 7)", "Subquery returns more than 1 row"),
        ("(SELECT name FROM baker WHERE id > ((SELECT id FROM bread)))", "Subquery returns more than 1 row"),
        ("SELECT nam FROM baker", "Unknown column 'nam' in 'field list'"),
        ("SELECT name FROM baker WHERE nam = 1", "Unknown column 'nam' in 'where clause'"),
        (
            "SELECT name FROM baker WHERE nam NOT IN (SELECT title FROM bread)",
            "Unknown column 'nam' in 'IN/ALL/ANY subquery'",
        ),
        ("SELECT name FROM baker ORDER BY nam", "Unknown column 'nam' in 'order clause'"),
        ("SELECT name FROM baker GROUP BY nam", "Unknown column 'nam' in 'group statement'"),
        ("SELECT 1 FROM baker b JOIN sale s ON b.nam = s.baker_id", "Unknown column 'b.nam' in 'on clause'"),
        ("SELECT `nam` FROM baker", "Unknown column 'nam' in 'field list'"),
        ("SELECT rowid FROM baker", "Unknown column 'rowid' in 'field list'"),
        ("SELECT id FROM baker JOIN bread ON baker.id = bread.id", "Column 'id' in field list is ambiguous"),
        ("SELECT NOPE(1)", "FUNCTION bakery.NOPE does not exist"),
        ("SELECT name FROM baker WHERE MAX(age) > 3", "Invalid use of group function"),
        ("SELECT name, MAX(age) FROM baker",
         "In aggregated query without GROUP BY, expression #1 of SELECT list contains nonaggregated "
         "column 'name'; this is incompatible with sql_mode=only_full_group_by"),
        ("SELECT id FROM baker UNION SELECT 1, 2",
         "The used SELECT statements have a different number of columns"),
        ("SELECT * FROM (SELECT 1)", "Every derived table must have its own alias"),
        ("SELECT id FROM baker WHERE id IN (SELECT baker_id FROM sale LIMIT 1)",
         "This version of MySQL doesn't yet support 'LIMIT & IN/ALL/ANY/SOME subquery'"),
        ("SELECT * FROM kinds.thing", "Access denied for user 'agent'@'localhost' to database 'kinds'"),
        ("SELECT * FROM cakes.thing", "Unknown database 'cakes'"),
        ("USE kinds", "Access denied for user 'agent'@'localhost' to database 'kinds'"),
        ("", "Query was empty"),
        (" ; ", "Query was empty"),
        ("-- nothing", "Query was empty"),
    ],
)  # fmt: skip
def test_fails_in_mysqls_words(runner: Runner, statement: str, message: str) -> None:
    assert failure(runner, statement) == message


@pytest.mark.parametrize(
    ("statement", "near"),
    [
        ("I think the answer is 7", "I think the answer is 7"),
        ("SELECT name FROM baker WHERE", ""),
        ("SELECT name FROM baker WHERE id = 1 JOIN sale ON 1 = 1", "JOIN sale ON 1 = 1"),
        ("SELECT * FROM 'open", "SELECT * FROM 'open"),
        ("SHOW TABLES please", "please"),
        ("DESC", ""),
    ],
)
def test_a_syntax_error_quotes_the_rest(runner: Runner, statement: str, near: str) -> None:
    message = failure(runner, statement)
    assert message.startswith("You have an error in your SQL syntax; check the manual")
    assert f"near '{near}" in message


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SHOW TABLES", [("baker",), ("bread",), ("sale",)]),
        ("show tables;", [("baker",), ("bread",), ("sale",)]),
        ("SHOW TABLES FROM bakery LIKE 'b%'", [("baker",), ("bread",)]),
        ("SHOW FULL TABLES LIKE '_ale'", [("sale", "BASE TABLE")]),
        ("DESC bread", [("id", "int", "NO", "PRI", None, ""), ("title", "text", "YES", "", None, ""),
                        ("price", "double", "YES", "", None, "")]),
        ("DESCRIBE `bakery`.`bread` 'pr%'", [("price", "double", "YES", "", None, "")]),
        ("EXPLAIN bread id", [("id", "int", "NO", "PRI", None, "")]),
        ("SHOW COLUMNS FROM bread LIKE 'id'", [("id", "int", "NO", "PRI", None, "")]),
        ("SHOW FIELDS IN bread FROM bakery LIKE 'id'", [("id", "int", "NO", "PRI", None, "")]),
        ("SHOW DATABASES LIKE '%k%'", [("bakery",), ("kinds",)]),
        ("USE bakery", None),
    ],
)  # fmt: skip
def test_show_desc_and_use(runner: Runner, statement: str, expected: list[tuple[object, ...]] | None) -> None:
    assert rows(runner, statement) == expected


def test_show_create_table_gives_the_dumps_own_statement(runner: Runner) -> None:
    [(name, create)] = rows(runner, "SHOW CREATE TABLE sale") or []
    assert name == "sale"
    assert str(create).startswith("CREATE TABLE `sale` (\n  `baker_id` int DEFAULT NULL,")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DESC loaf", "Table 'bakery.loaf' doesn't exist"),
        ("SHOW TABLES FROM cakes", "Unknown database 'cakes'"),
        ("DESC mysql.user", "Access denied for user 'agent'@'localhost' to database 'mysql'"),
    ],
)
def test_show_and_desc_of_what_is_not_there(runner: Runner, statement: str, message: str) -> None:
    assert failure(runner, statement) == message


def test_chance_is_the_same_every_time(runner: Runner) -> None:
    statement = "SELECT id, RAND() FROM baker ORDER BY RAND()"
    first = rows(runner, statement)
    rows(runner, "SELECT RAND(), RAND()")
    assert rows(runner, statement) == first


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM loaf", "Table 'bakery.loaf' doesn't exist"),
        ("select x, y from Loaf where x = 'from baker'", "Table 'bakery.loaf' doesn't exist"),
        ("SELECT name FROM baker b JOIN `loaf` l ON b.id = l.id", "Table 'bakery.loaf' doesn't exist"),
        ("SELECT name FROM baker WHERE id IN (SELECT id FROM loaf)", "Table 'bakery.loaf' doesn't exist"),
        ("SELECT * FROM loaf WHERE", "You have an error in your SQL syntax"),
        ("SELECT * FROM loaf, crumb", "Table 'bakery.loaf' doesn't exist"),
        ("SELECT 1 FROM loaf UNION SELECT 2 FROM crumb", "Table 'bakery.loaf' doesn't exist"),
        ("SELECT * FROM show", "You have an error in your SQL syntax"),
        ("SELECT * FROM kinds.loaf", "Access denied"),
        ("SELECT * FROM loaf; DROP TABLE baker", "Table 'bakery.loaf' doesn't exist"),
    ],
)
def test_a_missing_table_is_named_as_in_a_full_reading(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, statement: str, message: str
) -> None:
    found = failure(runner, statement)
    assert found.startswith(message)
    monkeypatch.setattr("rro_sdk.envs.intercode_sql.runner._lone_unknown_table", lambda *_: None)
    assert failure(runner, statement) == found


def test_words_that_look_like_a_table_are_none(runner: Runner) -> None:
    assert rows(runner, "SELECT 'from nowhere', name FROM baker WHERE id = 1") == [("from nowhere", "Nils")]
    assert rows(runner, "SELECT EXTRACT(YEAR FROM made) FROM thing WHERE id = 1", "kinds") == [(2003,)]
