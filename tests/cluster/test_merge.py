"""A block is in the run's journal once, whatever is merged twice, late, or cut off."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from rro_sdk.cluster.blocks import Done, epoch_name
from rro_sdk.cluster.merge import Merger
from rro_sdk.draws import DrawKey
from rro_sdk.errors import DataError, JournalError
from rro_sdk.export.trl import write_pairs
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.journal.rows import Row, end_row, event_row, task_row, turn_row
from rro_sdk.pairs import pairs_of
from rro_sdk.recording import RolloutEnd, Turn
from rro_sdk.types import (
    Action,
    Candidate,
    Estimate,
    Message,
    Observation,
    PairChoice,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
)

HEADER = RunHeader("2026-01-01", 0, {"name": "x"}, "toy", {}, {}, {})


def step(task: str, number: int) -> StepRecord:
    candidates = tuple(
        Candidate(
            index, Action(f"go {index}", f"go {index}"), Observation("there"), Estimate((float(index),))
        )
        for index in (0, 1)
    )
    return StepRecord(
        task_id=task,
        step=number,
        prefix=(Message("user", "begin"),),
        baseline=Estimate((0.0,)),
        candidates=candidates,
        outcome="risen",
        pair=PairChoice(chosen=1, rejected=0),
        no_pair=None,
        advance=1,
        weight_version="v",
        usage=Usage(),
        turns=2,
    )


def rows_of(task: str, *, failed: bool = False) -> list[Row]:
    key = DrawKey(0, task, 1, 0, -1, 1)
    rows = [task_row(task, b"d"), turn_row(key, Turn(Action("go", "go"), b"p", Usage(1, 0, 1)))]
    if failed:
        return [*rows, event_row(TaskFailed(task, "ServerError: gone", "server"))]
    steps = [event_row(step(task, number)) for number in range(1, 12)]  # 10 sorts before 2 as text
    ends = [end_row(key.with_rollout(0), RolloutEnd(1.0)), event_row(TaskEnd(task, 11, 1.0, truncated=False))]
    return [*rows, *steps, *ends]


class World:
    """A run's journal, and images of blocks to merge."""

    def __init__(self, folder: Path) -> None:
        self.run, self._folder, self._made = folder / "run", folder, 0
        self._journal = Journal.create(self.run, HEADER)
        self.merger = Merger(self.run)

    def image(self, block: int, count: int, ids: list[str], *, failed: bool = False) -> tuple[Done, Path]:
        self._made += 1
        path = self._folder / f"image{self._made}"
        journal = Journal.create(path, HEADER)
        for task in ids:
            journal.write(rows_of(task, failed=failed))
        journal.close()
        owed = len(ids) if failed else 0
        done = Done(
            block, epoch_name(1, count), "d", "", 0, len(ids), len(ids) - owed, owed, owed, 11, len(ids)
        )
        return done, path / "journal.sqlite"

    def content(self) -> list[object]:
        with sqlite3.connect(self.run / "journal.sqlite") as connection:
            found: list[object] = []
            for table in ("task", "turn", "rollout"):
                found += sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)
            found += sorted(connection.execute("SELECT task_id, once, body FROM event"), key=repr)
        connection.close()
        return found

    def close(self) -> None:
        self.merger.close()
        self._journal.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_merged_twice_or_under_an_older_epoch_a_block_is_in_once(world: World) -> None:
    early, late = world.image(0, 1, ["a", "b"]), world.image(0, 2, ["a", "b"])
    assert world.merger.merge(*late)
    before = world.content()
    assert not world.merger.merge(*late) and not world.merger.merge(*early)
    assert world.content() == before
    assert world.merger.merged()[0].epoch == late[0].epoch
    world.close()


def test_a_block_that_is_taken_up_again_takes_its_own_place(world: World) -> None:
    assert world.merger.merge(*world.image(0, 1, ["a", "b"], failed=True))
    assert world.merger.merge(*world.image(1, 2, ["c"]))
    assert world.merger.merged()[0].owed == 2
    assert world.merger.merge(*world.image(0, 3, ["a", "b"]))
    once = World(world.run.parent / "once")
    once.merger.merge(*once.image(0, 1, ["a", "b"]))
    once.merger.merge(*once.image(1, 2, ["c"]))
    with Journal.open(world.run) as one, Journal.open(once.run) as other:
        assert one.states() == other.states() and one.digests() == other.digests()
        assert sorted(map(repr, one.events())) == sorted(map(repr, other.events()))
    world.close()
    once.close()


def test_a_task_of_two_blocks_is_named_and_nothing_of_the_second_is_in(world: World) -> None:
    world.merger.merge(*world.image(0, 1, ["a", "b"]))
    before = world.content()
    with pytest.raises(DataError, match="task b is given twice"):
        world.merger.merge(*world.image(1, 2, ["b", "c"]))
    assert world.content() == before
    world.close()


def test_an_image_that_is_none_changes_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalError, match="cannot merge block 0"):
        world.merger.merge(world.image(0, 1, ["a"])[0], tmp_path / "image")
    assert world.content() == [] and world.merger.merged() == {}
    world.close()


def test_the_export_is_the_one_of_a_single_process_and_the_clock_never_goes_back(world: World) -> None:
    for block, ids in enumerate((["b", "d"], ["a", "é"], ["c", "B"])):
        world.merger.merge(*world.image(block, block + 1, ids))
    assert world.merger.export() == 66
    found = (world.run / "pairs.jsonl").read_bytes()
    with Journal.open(world.run) as journal:
        write_pairs(pairs_of(journal.events()), world.run / "plain.jsonl")
    assert found == (world.run / "plain.jsonl").read_bytes()
    with sqlite3.connect(world.run / "journal.sqlite") as connection:
        times = [at for (at,) in connection.execute("SELECT at FROM event ORDER BY seq")]
    connection.close()
    assert times == sorted(times)
    world.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
import msgspec
from rro_sdk.cluster import merge
from rro_sdk.cluster.blocks import Done

class Fused:  # dies at the n-th passage: before or after a statement
    def __init__(self, connection, most):
        self._connection, self._left = connection, most

    def _passes(self):
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, *arguments):
        self._passes()
        found = self._connection.execute(*arguments)
        self._passes()
        return found

    def __getattr__(self, name):
        return getattr(self._connection, name)

run, most, *blocks = sys.argv[1:]
merger = merge.Merger(Path(run))
merger._connection = Fused(merger._connection, int(most))
pairs = zip(blocks[::2], blocks[1::2])
merger.merge_all([(msgspec.json.decode(done, type=Done), Path(image)) for done, image in pairs])
"""


def test_killed_before_or_after_any_statement_a_merge_happened_or_did_not(tmp_path: Path) -> None:
    """Two blocks at once: never one of them alone."""

    def two(world: World) -> list[tuple[Done, Path]]:
        return [world.image(1, 2, ["b", "c"]), world.image(2, 3, ["d"])]

    whole = World(tmp_path / "whole")
    whole.merger.merge(*whole.image(0, 1, ["a"]))
    sizes = [len(whole.content())]
    assert whole.merger.merge_all(two(whole)) == [True, True]
    sizes.append(len(whole.content()))
    whole.close()
    seen = set()
    for most in (14, 26, 39, 40, 99):
        world = World(tmp_path / f"killed{most}")
        world.merger.merge(*world.image(0, 1, ["a"]))
        blocks = two(world)
        arguments = [str(world.run), str(most)]
        arguments += [
            text for done, image in blocks for text in (msgspec.json.encode(done).decode(), str(image))
        ]
        child = subprocess.run([sys.executable, "-c", _KILLED, *arguments], timeout=60, check=False)
        assert child.returncode in (0, -signal.SIGKILL)
        found = len(world.content())
        assert found in sizes
        seen.add((child.returncode, sizes.index(found), most))
        assert world.merger.merge_all(blocks) == [found == sizes[0]] * 2
        assert len(world.content()) == sizes[1]
        world.close()
    killed = -signal.SIGKILL
    assert seen == {(killed, 0, 14), (killed, 0, 26), (killed, 0, 39), (killed, 1, 40), (0, 1, 99)}


def test_merged_together_or_one_by_one_the_run_is_the_same(tmp_path: Path) -> None:
    blocks = [["b", "d"], ["a"], ["c"]]
    one, other = World(tmp_path / "one"), World(tmp_path / "other")
    images = [other.image(number, number + 1, ids) for number, ids in enumerate(blocks)]
    assert all(one.merger.merge(*each) for each in images)
    assert other.merger.merge_all(images) == [True] * 3
    assert one.content() == other.content() and one.merger.merged() == other.merger.merged()
    before = other.content()
    with pytest.raises(DataError, match="task c is given twice"):
        other.merger.merge_all([other.image(3, 4, ["e"]), other.image(4, 5, ["c"])])
    with pytest.raises(DataError, match="task f is given twice"):
        other.merger.merge_all([other.image(5, 6, ["f"]), other.image(6, 7, ["f"])])
    assert other.content() == before
    one.close()
    other.close()
