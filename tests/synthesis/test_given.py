"""Questions that there are already: divided by database, their gold statements played as experts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rro_sdk.cli.data.experts import command
from rro_sdk.methods import Experts

GOLDS = {
    "shelf": [f"SELECT Full_Name FROM reader WHERE age = {age}" for age in (20, 23)],
    "boats": [f"SELECT Name FROM boats WHERE Length = {length}" for length in (6, 7)],
    "coins": [f"SELECT id FROM coins WHERE Metal = '{metal}'" for metal in ("Gold", "Silver")],
}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{db}-{number}", "db": db, "query": f"Question {number} about {db}?", "gold": gold}
        for db, golds in GOLDS.items()
        for number, gold in enumerate(golds)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def divide(databases: Path, questions: Path, out: Path, *more: str) -> Result:
    given = ["--sqlite", str(databases), "--questions", str(questions), "--out", str(out), *more]
    return CliRunner().invoke(command, [*given, "--fractions", "0.4", "0.3", "0.3"])


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_database_is_in_two_parts_and_every_expert_is_there(
    databases: Path, questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert divide(databases, questions, out).exit_code == 0
    parts = {
        name: {row["db"] for row in lines(out / f"{name}.jsonl")} for name in ("train", "validation", "test")
    }
    assert sorted(db for dbs in parts.values() for db in dbs) == sorted(GOLDS)
    (trained,) = parts["train"]
    experts = Experts.read(out / "tasks.jsonl")
    for db, golds in GOLDS.items():
        for number, gold in enumerate(golds):
            commands = [action.command for action in experts.actions(f"{db}-{number}")]
            assert commands == ["SHOW TABLES", f"DESC {gold.split('FROM ')[1].split()[0]}", gold, "submit"]
    rows = lines(out / "sft.jsonl")
    assert len(rows) == 4 * len(GOLDS[str(trained)])  # a row a turn, of the training part alone


def test_with_the_schema_shown_nobody_looks(databases: Path, questions: Path, tmp_path: Path) -> None:
    assert divide(databases, questions, tmp_path / "out", "--show-schema").exit_code == 0
    experts = Experts.read(tmp_path / "out" / "tasks.jsonl")
    assert [action.command for action in experts.actions("boats-0")] == [GOLDS["boats"][0], "submit"]


def test_what_is_left_out_is_counted(databases: Path, questions: Path, tmp_path: Path) -> None:
    whole = json.loads(divide(databases, questions, tmp_path / "all", "--json").stdout)
    assert (whole["tasks"], whole["left_out"]) == (6, {})
    longest = max(
        sum(len(message["content"]) for message in (*row["prompt"], *row["completion"]))  # type: ignore[misc]
        for row in lines(tmp_path / "all" / "sft.jsonl")
    )
    found = divide(databases, questions, tmp_path / "short", "--max-chars", str(longest // 2))
    assert found.exit_code == 1
    assert "no question is left; 6 the episode is too long" in str(found.exception)
    assert not (tmp_path / "short").exists()
