from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rro_sdk.errors import ConfigError, JournalError, RunExistsError
from rro_sdk.journal import JOURNAL_NAME, Journal, RunHeader
from rro_sdk.types import Baseline, Discarded, Estimate, Event, TaskEnd, TaskFailed, Usage

HEADER = RunHeader("2026-01-01T00:00:00+00:00", 0, {"name": "rising_reward"}, "toy", {}, {}, {})
EVENTS: list[Event] = [
    Baseline("t", 1, Estimate((0.0, 1.0)), Usage(1, 2, 3), 2),
    Discarded("t", 1, ("a", "b"), Usage()),
    TaskEnd("t", 1, 0.5, False),
    TaskFailed("u", "because"),
]


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", HEADER) as journal:
        for event in EVENTS:
            journal.append(event)
    with Journal.open(tmp_path / "run") as journal:
        assert journal.header() == HEADER
        assert list(journal.events()) == EVENTS
        assert journal.duration_s() >= 0


def test_an_appended_event_is_there_for_another_process_at_once(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", HEADER) as writer, Journal.open(tmp_path / "run") as reader:
        assert list(reader.events()) == []
        writer.append(EVENTS[0])
        assert list(reader.events()) == EVENTS[:1]


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunExistsError, match="not empty"):
        Journal.create(tmp_path, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        Journal.create(tmp_path / "run", HEADER)


def test_a_run_that_was_killed_before_it_began_is_no_other_sdk_s(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(JournalError, match="holds no run: it was ended before it began"):
        Journal.open(tmp_path)


def test_no_run_another_file_and_a_later_version_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        Journal.open(tmp_path)
    (tmp_path / JOURNAL_NAME).write_bytes(b"not a database, whatever it is called")
    with pytest.raises(JournalError, match="cannot be read"):
        Journal.open(tmp_path)
    (tmp_path / JOURNAL_NAME).unlink()
    Journal.create(tmp_path / "run", HEADER).close()
    connection = sqlite3.connect(tmp_path / "run" / JOURNAL_NAME)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(JournalError, match="schema version 99"):
        Journal.open(tmp_path / "run")


def test_a_damaged_event_is_an_error_not_a_silence(tmp_path: Path) -> None:
    Journal.create(tmp_path / "run", HEADER).close()
    connection = sqlite3.connect(tmp_path / "run" / JOURNAL_NAME)
    connection.execute("INSERT INTO event (at, task_id, kind, body) VALUES (0, 't', 'TaskEnd', x'7b')")
    connection.commit()
    connection.close()
    with Journal.open(tmp_path / "run") as journal, pytest.raises(JournalError, match="damaged"):
        list(journal.events())


def test_a_closed_journal_says_that_it_cannot_write(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "run", HEADER)
    journal.close()
    with pytest.raises(JournalError, match="cannot write"):
        journal.append(EVENTS[0])
