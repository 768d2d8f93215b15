"""A commit on shared storage is whole or not there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.cluster.frames import frame, pack, payloads, unpack
from rro_sdk.draws import DrawKey
from rro_sdk.errors import JournalError
from rro_sdk.journal.rows import end_row, event_row, task_row, turn_row
from rro_sdk.recording import RolloutEnd, Turn
from rro_sdk.types import Action, TaskEnd, Usage

COMMITS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@settings(deadline=None)
@given(COMMITS, st.integers(min_value=0))
def test_a_log_that_is_cut_anywhere_gives_the_commits_before_the_cut(commits: list[bytes], cut: int) -> None:
    ends, data = [0], b""
    for commit in commits:
        data += frame(commit)
        ends.append(len(data))
    cut %= len(data) + 1
    assert list(payloads(data[:cut])) == commits[: sum(end <= cut for end in ends) - 1]


@settings(deadline=None)
@given(COMMITS.filter(bool), st.integers(min_value=0), st.integers(1, 255))
def test_a_byte_that_changed_ends_the_log_there(commits: list[bytes], at: int, by: int) -> None:
    data = bytearray(b"".join(map(frame, commits)))
    at %= len(data)
    data[at] ^= by
    found = list(payloads(bytes(data)))
    assert found == commits[: len(found)] and len(found) < len(commits)


def test_rows_of_every_kind_come_back_as_they_were() -> None:
    key = DrawKey(0, "t", 1, 2, 3, 4)
    turn = Turn(Action("go \ud800", "go", None), b"\x00digest", Usage(1, 2, 3), ("v",), "http://a")
    rows = [
        task_row("t", b"\xff\x00"),
        turn_row(key, turn),
        end_row(key, RolloutEnd(0.25, truncated=True)),
        event_row(TaskEnd("t", 1, 0.5, truncated=False)),
    ]
    rows[1] = (rows[1][0], tuple("go" if value == "go \ud800" else value for value in rows[1][1]))
    found = list(unpack(pack(rows)))
    assert [values for _, values in found] == [values for _, values in rows]
    assert all(statement.startswith("INSERT OR IGNORE") for statement, _ in found)


def test_no_other_statement_is_shipped_or_read() -> None:
    with pytest.raises(ValueError, match="header"):
        pack([("INSERT OR REPLACE INTO header VALUES (?, ?)", ("a", b""))])
    with pytest.raises(JournalError, match="cannot read"):
        unpack(pack([task_row("t", b"")]).replace(b"task", b"tusk"))
