"""Tasks: what is read, what is left out, what is refused, and splits that share nothing."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.envs.intercode_sql import tasks as module
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.tasks import load_tasks, read_tasks, split
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.types import Task

GOOD = {
    "idx": 12,
    "db": "bakery",
    "query": "How many?",
    "gold": "SELECT COUNT(*) FROM baker",
    "hardness": "easy",
}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_reads_a_file(tmp_path: Path, bakery_library: Library) -> None:
    rows = [GOOD, "", {**GOOD, "id": "mine"}]
    assert load_tasks(written(tmp_path, *rows), library=bakery_library) == [
        Task("spider-0012", "How many?", {"db": "bakery", "gold": GOOD["gold"], "hardness": "easy"}),
        Task("mine", "How many?", {"db": "bakery", "gold": GOOD["gold"], "hardness": "easy"}),
    ]


def test_says_what_was_left_out(
    tmp_path: Path, bakery_library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        GOOD,
        {**GOOD, "idx": 1, "mariadb_ok": False},
        {**GOOD, "idx": 2, "degenerate": True},
        {**GOOD, "idx": 3, "gold": "SELECT nam FROM baker"},
        {**GOOD, "idx": 4, "gold": "SELECT name FROM baker WHERE id = 9"},
    ]
    path = written(tmp_path, *rows)
    found = read_tasks(path, library=bakery_library)
    assert [task.id for task in found.tasks] == ["spider-0012"]
    assert found.left_out == {
        "whose gold fails in MariaDB": 1,
        "degenerate": 2,
        "whose gold fails here": 1,
    }
    with caplog.at_level(logging.INFO):
        load_tasks(path, library=bakery_library)
    assert "1 SQL tasks; left out: 2 degenerate" in caplog.text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**GOOD, "gold": 3}, r"line 2.*\$\.gold"),
        ({key: value for key, value in GOOD.items() if key != "query"}, "line 2.*`query`"),
        ('{"idx": 1, "db"', "line 2"),
        ("[]", "line 2"),
        ({**GOOD, "idx": 13, "db": "cakes"}, "line 2.*`db`.*'cakes'"),
        ({key: value for key, value in GOOD.items() if key != "idx"}, "line 2.*`idx`"),
        (GOOD, "line 2.*'spider-0012' occurs twice"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, bakery_library: Library, row: object, words: str) -> None:
    with pytest.raises(DataError, match=f"questions.jsonl, {words}"):
        load_tasks(written(tmp_path, GOOD, row), library=bakery_library)


@pytest.mark.parametrize("name", ["questions.jsonl", "questions.json"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"query": "Caf\xe9"}', "not UTF-8"),
        (b'{"query": "?", "more": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_text_or_has_no_end_is_named(
    tmp_path: Path, bakery_library: Library, name: str, line: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(line if name.endswith("l") else b"[" + line + b"]")
    with pytest.raises(DataError, match=f"{name}.*{words}"):
        load_tasks(path, library=bakery_library)


def test_a_missing_file_is_named(tmp_path: Path, bakery_library: Library) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        load_tasks(tmp_path / "none.jsonl", library=bakery_library)


def test_the_questions_of_the_wheel_stand_in_where_there_is_no_data_folder(
    monkeypatch: pytest.MonkeyPatch, bakery_library: Library
) -> None:
    text = 'query,gold,db\nHow many?,SELECT COUNT(*) FROM baker,bakery\n"A, b?","SELECT ""x""",bakery\n'
    monkeypatch.setattr(module, "data_folder", lambda: None)
    monkeypatch.setattr(module, "fetch_wheel", lambda *_: Path("wheel"))
    monkeypatch.setattr(module, "read_member", lambda *_: text.encode())
    tasks = load_tasks(library=bakery_library)
    assert [(task.id, task.instruction) for task in tasks] == [
        ("intercode-bench-0000", "How many?"),
        ("intercode-bench-0001", "A, b?"),
    ]


def test_the_questions_of_the_data_folder(
    data_folder: Path, spider_library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRO_DATA", str(data_folder))
    found = read_tasks(library=spider_library)
    assert len(found.tasks) + sum(found.left_out.values()) == 711
    assert found.left_out["degenerate"] == 62
    assert found.left_out["whose gold fails here"] == 4  # two of them by only_full_group_by
    assert len(found.tasks) == 641


TASKS = st.lists(
    st.builds(
        lambda number, db, text, gold: (number, db, text, gold),
        st.integers(0, 10**6),
        st.sampled_from("abcdef"),
        st.sampled_from(["How many?", "how  many?", "Which?", "Who?", "When?"]),
        st.sampled_from(["SELECT 1", "select 1", "SELECT 2", "SELECT 3", "SELECT 4", "SELECT 5"]),
    ),
    max_size=60,
    unique_by=lambda row: row[0],
).map(lambda rows: [Task(str(number), text, {"db": db, "gold": gold}) for number, db, text, gold in rows])
FRACTIONS = st.sampled_from([(1.0,), (0.5, 0.5), (0.8, 0.1, 0.1), (0.25, 0.25, 0.25, 0.25)])


@given(TASKS, FRACTIONS, st.sampled_from(["question", "database"]), st.integers(0, 5))
def test_a_split_loses_nothing_and_shares_nothing(
    tasks: list[Task], fractions: tuple[float, ...], by: str, seed: int
) -> None:
    parts = split(tasks, by=by, fractions=fractions, seed=seed)  # type: ignore[arg-type]
    assert len(parts) == len(fractions)
    assert Counter(task.id for part in parts for task in part) == Counter(task.id for task in tasks)
    for view in (lambda task: task.data["db"],) if by == "database" else VIEWS:
        seen = [{view(task) for task in part} for part in parts]
        assert sum(map(len, seen)) == len(set().union(*seen))


VIEWS = (
    lambda task: (task.data["db"], task.data["gold"].lower()),
    lambda task: (task.data["db"], " ".join(task.instruction.lower().split())),
)


@given(TASKS, st.randoms(use_true_random=False))
def test_a_split_does_not_depend_on_the_order_of_the_tasks(tasks: list[Task], chance) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(tasks)
    chance.shuffle(shuffled)
    parts = split(tasks, by="question", fractions=(0.5, 0.5))
    again = split(shuffled, by="question", fractions=(0.5, 0.5))
    assert [{task.id for task in part} for part in parts] == [{task.id for task in part} for part in again]


def test_shares_come_out_about_right_and_seeds_differ() -> None:
    tasks = [
        Task(str(number), f"q{number}", {"db": f"d{number % 20}", "gold": f"SELECT {number}"})
        for number in range(400)
    ]
    parts = split(tasks, by="question", fractions=(0.8, 0.2), seed=1)
    assert [len(part) for part in parts] == [320, 80]
    parts_by_database = split(tasks, by="database", fractions=(0.8, 0.2), seed=1)
    assert [len(part) for part in parts_by_database] == [320, 80]
    assert split(tasks, by="question", fractions=(0.8, 0.2), seed=2) != parts
    assert [task.id for task in parts[0]] == sorted((task.id for task in parts[0]), key=int)


@pytest.mark.parametrize("fractions", [(), (0.5,), (0.5, 0.6), (1.0, 0.0), (1.5, -0.5)])
def test_wrong_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        split([], by="question", fractions=fractions)


def test_a_wrong_kind_of_split() -> None:
    with pytest.raises(ConfigError, match="'database'"):
        split([], by="colour", fractions=(1.0,))  # type: ignore[arg-type]
