"""`rro check` and the journals of earlier versions."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from rro_sdk.checking import check, recover
from rro_sdk.errors import JournalError
from rro_sdk.journal import JOURNAL_NAME, Journal, schema
from rro_sdk.ledger import ledger_of
from rro_sdk.report.text import summary_of
from rro_sdk.types import Usage
from tests.test_resume import Killed, Mortal, explore
from tests.test_sampler import ONE, rising_script
from tests.toys import ScriptedPolicy

VERSION_1 = Path(__file__).parent / "data" / "journal_v1.sqlite"


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    run = tmp_path / "v1"
    run.mkdir()
    shutil.copy(VERSION_1, run / JOURNAL_NAME)
    return run


def test_a_journal_of_version_1_can_be_read(version_1: Path) -> None:
    before = (version_1 / JOURNAL_NAME).read_bytes()
    with Journal.open(version_1) as journal:
        summary = summary_of(journal)
        assert ledger_of(journal).total == Usage()
    assert (summary.tasks, summary.pairs, summary.rollouts) == (3, 3, 3)
    found = check(version_1)
    assert (found.owed, found.pairs) == ({}, 3)
    (problem,) = found.problems
    assert "pairs.jsonl lacks 3 rows of the journal; resume" in problem
    assert (version_1 / JOURNAL_NAME).read_bytes() == before, "reading changes nothing"


async def test_a_run_of_version_1_goes_on_in_todays_tables(version_1: Path) -> None:
    policy = ScriptedPolicy(rising_script(5))
    sampler = await explore(version_1, policy, count=5, method=ONE, resume=True)
    assert sampler.kept is not None
    assert sampler.kept.finished == 3
    assert sampler.summary().tasks == 5
    assert len(policy.seeds) == 2 * 3, "a baseline and two candidates for each of two new tasks"
    connection = sqlite3.connect(version_1 / JOURNAL_NAME)
    assert schema.version_of(connection) == schema.VERSION
    connection.close()
    assert check(version_1).problems == ()
    fresh = ScriptedPolicy(rising_script(5))
    await explore(version_1.parent / "fresh", fresh, count=5, method=ONE)
    assert (version_1 / "pairs.jsonl").read_bytes() == (
        version_1.parent / "fresh" / "pairs.jsonl"
    ).read_bytes()


async def test_what_a_broken_off_run_owes_is_listed(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        await explore(tmp_path / "run", Mortal(90), in_flight=1)
    found = check(tmp_path / "run")
    assert found.problems == ()
    with Journal.open(tmp_path / "run") as journal:
        finished = journal.states().finished
    assert finished
    assert set(found.owed) == set(journal_tasks(tmp_path / "run")) - finished
    assert all(step >= 1 for step in found.owed.values())


def journal_tasks(run: Path) -> list[str]:
    with Journal.open(run) as journal:
        return list(journal.digests())


async def test_what_does_not_hold_together_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    await explore(run, Mortal())
    assert check(run).problems == ()
    connection = sqlite3.connect(run / JOURNAL_NAME)
    connection.execute("UPDATE rollout SET outcome = 0.25 WHERE (task_id, step) IN (SELECT 't0', 1)")
    connection.commit()
    (problem, *_) = check(run).problems
    assert "task t0, step 1, candidate 0: rollout 0 counts" in problem
    connection.execute("DELETE FROM event WHERE kind = 'StepRecord' AND task_id = 't1'")
    connection.commit()
    connection.close()
    assert any("task t1 ended after" in problem for problem in check(run).problems)
    with (run / "pairs.jsonl").open("a") as file:
        file.write('{"torn')
    assert any("pairs.jsonl holds" in problem for problem in check(run).problems)


async def test_a_torn_file_is_recovered_from_both_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    await explore(run, Mortal(), count=40, in_flight=8)
    await explore(tmp_path / "whole", Mortal(), count=40)
    expected = (tmp_path / "whole" / "pairs.jsonl").read_bytes()
    with Journal.open(run) as journal:
        replies = journal.replies()
    connection = sqlite3.connect(run / JOURNAL_NAME)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA journal_mode=DELETE")
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    sound = (run / JOURNAL_NAME).read_bytes()
    torn = 0
    for page in range(8, pages, 7):
        (run / JOURNAL_NAME).write_bytes(sound[: page * size] + b"\xff" * size + sound[(page + 1) * size :])
        if not check(run).problems:
            continue  # a page that nothing uses
        torn += 1
        into = tmp_path / f"saved{page}"
        saved = recover(run, into)
        assert saved["turn"] <= replies
        with Journal.open(into) as journal:
            assert list(journal.integrity()) == []
        assert check(into).problems == ()
        # What was lost with the page is drawn or decided again, and the run is whole.
        await explore(into, Mortal(), count=40, resume=True)
        assert (into / "pairs.jsonl").read_bytes() == expected
    assert torn > 3


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe", b""])
async def test_whatever_is_damaged_it_is_said_without_quoting_it(tmp_path: Path, damage: bytes) -> None:
    run = tmp_path / "run"
    await explore(run, Mortal())
    connection = sqlite3.connect(run / JOURNAL_NAME)
    connection.execute("UPDATE event SET body = ? WHERE seq = 5", (damage + b"my secret reply",))
    connection.commit()
    (problem,) = [problem for problem in check(run).problems if "damaged" in problem]
    assert "secret" not in problem
    saved = recover(run, tmp_path / "saved")
    assert saved["turn"] > 0
    await explore(tmp_path / "saved", Mortal(), resume=True)
    await explore(tmp_path / "whole", Mortal())
    assert (tmp_path / "saved" / "pairs.jsonl").read_bytes() == (
        tmp_path / "whole" / "pairs.jsonl"
    ).read_bytes()
    connection.execute("UPDATE header SET value = ?", (damage,))
    connection.execute("UPDATE turn SET reply = CAST(x'ff' || 'my secret' AS TEXT)")
    connection.commit()
    connection.close()
    with Journal.open(run) as journal:
        with pytest.raises(JournalError, match="is damaged") as caught:
            journal.header()
        assert "secret" not in str(caught.value)
        with pytest.raises(JournalError, match="is damaged") as caught:
            list(journal.turns_of("t0"))
        assert "secret" not in str(caught.value)


def test_what_can_be_read_of_version_1_is_recovered(version_1: Path, tmp_path: Path) -> None:
    assert recover(version_1, tmp_path / "saved")["event"] == 9
    assert (check(tmp_path / "saved").problems, check(tmp_path / "saved").pairs) == ((), 3)


def test_a_journal_without_a_header_says_so(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / JOURNAL_NAME)
    connection.executescript(f"{schema.CREATE} PRAGMA user_version={schema.VERSION};")
    connection.close()
    with Journal.open(tmp_path) as journal, pytest.raises(JournalError, match="never began"):
        journal.header()
    assert "never began" in check(tmp_path).problems[0]
