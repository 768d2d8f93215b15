"""`rro env check intercode-sql`: what counts as agreement, and how a difference is classed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.envs.intercode_sql.agreement import Agreement, compare, read_golds, read_recordings
from rro_sdk.envs.intercode_sql.env import printed
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.errors import ConfigError, DataError
from tests.cli.test_cli import rro

GOLD = "SELECT name FROM baker WHERE town = 'Lund' ORDER BY age DESC"
ROWS = "[('Ada',), ('Nils',)]"
QUESTION = "Who bakes in Lund, oldest first?"


def recording(*turns: tuple[str, str, float], **fields: Any) -> dict[str, Any]:
    return {
        "idx": 7,
        "db": "bakery",
        "query": QUESTION,
        "model": "m",
        "turns": [
            {"action": action, "observation": seen, "reward": reward, "valid": True, "agrees": True}
            for action, seen, reward in turns
        ],
        **fields,
    }


def agreement(
    runner: Runner, library: Library, folder: Path, *lines: dict[str, Any], gold: str = GOLD
) -> Agreement:
    turns = folder / "turns.jsonl"
    turns.write_text("\n".join(json.dumps(line) for line in lines))
    if gold:
        row = {"idx": 7, "db": "bakery", "query": QUESTION, "gold": gold}
        (folder / "questions.jsonl").write_text(json.dumps(row))
    else:
        (folder / "questions.jsonl").write_text("")
    return compare(
        read_recordings(turns, library.catalog),
        read_golds(folder / "questions.jsonl", turns),
        runner.run,
        printed,
    )


def test_turns_that_agree(runner: Runner, bakery_library: Library, tmp_path: Path) -> None:
    found = agreement(
        runner,
        bakery_library,
        tmp_path,
        recording(
            ("SHOW TABLES", "...", 0.0),
            (GOLD, ROWS, 1.0),
            ("SELECT nam FROM baker", "Error executing query: x", 0.0),
        ),
        recording(("SELECT name FROM baker WHERE town = 'lund' ORDER BY age", "...", -1), model="other"),
    )
    assert (found.turns, found.agreeing, found.share) == (4, 4, 1.0)
    assert found.by_model == {"m": (3, 3), "other": (1, 1)}
    assert found.disagreements == ()


@pytest.mark.parametrize(
    ("action", "observation", "kind"),
    [
        (GOLD, "[('Nils',), ('Ada',)]", "order"),
        (GOLD, "[('Nils',), ('Eva',)]", "rows"),
        (GOLD, ROWS, "gold"),
        (GOLD, "[('Ada',), (...", "order"),
        (GOLD, "[('Eva',), (...", "rows"),
        (GOLD, "Error executing query: no", "rows here, error there"),
        ("SELECT nam FROM baker", ROWS, "error here, rows there"),
        ("SELECT nam FROM baker", "Error executing query: no", "error"),
        ("SELECT SUM(age) FROM baker", "[(Decimal('1'),)]", "rows"),
    ],
)
def test_each_difference_is_classed(
    runner: Runner, bakery_library: Library, tmp_path: Path, action: str, observation: str, kind: str
) -> None:
    found = agreement(runner, bakery_library, tmp_path, recording((action, observation, 0.5)))
    assert found.kinds == {kind: 1}
    (one,) = found.disagreements
    assert (one.idx, one.turn, one.recorded, one.action) == (7, 1, 0.5, action)


def test_turns_that_no_server_saw_do_not_count(
    runner: Runner, bakery_library: Library, tmp_path: Path
) -> None:
    line = recording((GOLD, ROWS, 1.0), ("hm?", "No SQL code was found in your last response.", 0))
    line["turns"][1].pop("agrees")
    assert agreement(runner, bakery_library, tmp_path, line).turns == 1
    line["turns"][0].pop("agrees")  # a file whose maker ran nothing again: the observation tells
    assert agreement(runner, bakery_library, tmp_path, line).turns == 1


def test_a_gold_that_fails_is_an_empty_result(
    runner: Runner, bakery_library: Library, tmp_path: Path
) -> None:
    line = recording(("SELECT name FROM baker WHERE age = 1", "[]", 1))
    assert agreement(runner, bakery_library, tmp_path, line, gold="SELECT nam FROM baker").agreeing == 1


def test_golds_come_from_the_line_the_file_or_a_rewarded_turn(
    runner: Runner, bakery_library: Library, tmp_path: Path
) -> None:
    wrong = ("SELECT name FROM baker WHERE town = 'Lund' ORDER BY age", "...", -1.0)
    inside = agreement(runner, bakery_library, tmp_path, recording(wrong, gold=GOLD), gold="")
    assert (inside.turns, inside.agreeing, inside.without_gold) == (1, 1, 0)
    rewarded = agreement(runner, bakery_library, tmp_path, recording((GOLD, ROWS, 1.0), wrong), gold="")
    assert (rewarded.turns, rewarded.agreeing, rewarded.without_gold, rewarded.left_out) == (1, 1, 1, 1)
    with pytest.raises(DataError, match=r"none of 1 recorded turns can be judged.*--questions"):
        agreement(runner, bakery_library, tmp_path, recording(wrong), gold="")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not json", "line 1"),
        ('{"idx": 1, "db": "bakery"}', "line 1.*`turns`"),
        ('{"idx": 1, "db": "bakery", "turns": [{"action": "x", "reward": "1"}]}', r"line 1.*turns"),
        ('{"idx": 1, "db": "cakes", "turns": []}', "line 1: field `db` names 'cakes'"),
        ("", "holds no recordings"),
    ],
)
def test_a_file_of_the_wrong_shape_is_named(
    bakery_library: Library, tmp_path: Path, line: str, words: str
) -> None:
    path = tmp_path / "turns.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=f"turns.jsonl.*{words}"):
        read_recordings(path, bakery_library.catalog)


def test_a_missing_file_is_named(bakery_library: Library, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        read_recordings(tmp_path / "none.jsonl", bakery_library.catalog)
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        read_golds(tmp_path / "none.jsonl", tmp_path / "turns.jsonl")


def test_the_command_compares_and_exits_under_its_bar(
    bakery_library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rro_sdk.envs.intercode_sql.library.open_library", lambda: bakery_library)
    turns = tmp_path / "turns.jsonl"
    turns.write_text(json.dumps(recording((GOLD, ROWS, 1.0), gold=GOLD)))
    done = rro("env", "check", "intercode-sql", "--turns", str(turns))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "intercode-sql on sqlite: 100.00 % of 1 turns agree (0 do not; bar 99.0 %)"
    )
    turns.write_text(
        json.dumps(recording((GOLD, "[('Nils',), ('Ada',)]", -1.0), (GOLD, ROWS, 1.0), gold=GOLD))
    )
    done = rro("env", "check", "intercode-sql", "--turns", str(turns), "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert (found["ok"], found["share"], found["kinds"]) == (False, 0.5, {"order": 1})
    assert found["disagreements"][0]["action"] == GOLD
    missing = rro("env", "check", "intercode-sql", "--turns", str(tmp_path / "none.jsonl"))
    assert (missing.returncode, missing.stdout) == (2, "")
