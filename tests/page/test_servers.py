"""Which server answered when: every token is in some stretch, pauses are none, many servers are few rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from rro_sdk.draws import DrawKey
from rro_sdk.journal import Journal
from rro_sdk.journal.rows import Row, turn_row
from rro_sdk.page.servers import MOST_SERVERS, use_of
from rro_sdk.recording import Turn
from rro_sdk.types import Action, Usage
from tests.page.test_index import HEADER

AT = 6
"""Where a reply's row has its time."""


def reply(number: int, at: float, server: str) -> Row:
    turn = Turn(Action("a", "a"), b"0" * 16, Usage(10, 5, 100), ("v",), server)
    statement, values = turn_row(DrawKey(0, "t", 1, 0, number), turn)
    return statement, (*values[:AT], at, *values[AT + 1 :])


def test_a_pause_is_no_time_of_the_run(tmp_path: Path) -> None:
    # A reply a second; after ten the run is stopped and taken up an hour later.
    times = [1000.0 + second + (3600.0 if second >= 10 else 0.0) for second in range(20)]
    with Journal.create(tmp_path / "run", HEADER) as journal:
        journal.write([reply(at, time, "s") for at, time in enumerate(times)])
    with Journal.open(tmp_path / "run") as journal:
        assert use_of(journal, []) is not None
        whole, use = use_of(journal, []), use_of(journal, [(1009.0, 4610.0)])
    assert whole is not None
    assert use is not None
    assert whole.seconds == pytest.approx(3619.0)
    assert use.seconds == pytest.approx(18.0)
    (one,) = use.servers
    assert (one.replies, one.tokens, one.cached) == (20, 2000, 0.5)
    assert sum(one.tokens_per_s) * use.width_s == pytest.approx(2000, rel=0.01)


def test_many_servers_are_added_up_beyond_the_busiest(tmp_path: Path) -> None:
    count = MOST_SERVERS + 3
    rows = [
        reply(100 * server + at, 1000.0 + at, f"s{server:02}")
        for server in range(count)
        for at in range(count - server)
    ]
    with Journal.create(tmp_path / "run", HEADER) as journal:
        journal.write(rows)
    with Journal.open(tmp_path / "run") as journal:
        use = use_of(journal, [])
    assert use is not None
    assert [each.server for each in use.servers] == [*(f"s{at:02}" for at in range(11)), "4 others"]
    assert sum(each.tokens for each in use.servers) == 100 * len(rows)


def test_a_run_without_replies_has_no_use(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "run", HEADER) as journal:
        assert use_of(journal, []) is None
