"""Puts blocks into the run's journal, each exactly once: rows and the note of them are one transaction.

Killed at any instant, a merge has happened or it has not. Merged again under the same epoch nothing happens;
under a later one, which a block gets when it is taken up again, its rows take the place of those before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.cluster.blocks import Done, Merged
from rro_sdk.errors import DataError, JournalError
from rro_sdk.export.source import in_order
from rro_sdk.export.trl import to_row
from rro_sdk.journal import JOURNAL_NAME
from rro_sdk.pairs import pair_of
from rro_sdk.run import PAIRS_NAME
from rro_sdk.types import StepRecord

BUSY_S = 10.0
CACHE_KB = 32_000
"""Of the journal's pages: the inner ones of its trees stay, and memory is bounded."""

PAGE_SIZE = 32_768
"""Of a journal that is merged into: rows come by thousands, and every page costs its two writes."""

CHECKPOINT_BYTES = 64 << 20
"""Of merged pages before they are written to their places: many blocks change the same inner ones."""

AT_ONCE = 8
"""Blocks that one transaction takes, at most: they change the same last pages, and SQLite attaches ten."""

_MAPPED = 1 << 30
"""An image is read from the page cache where it lies, not copied out of it."""

_NOTE = "block/"
_encoder = msgspec.json.Encoder()
_step = msgspec.json.Decoder(StepRecord)


class Merger:
    """Merges into one run's journal, whose lock the caller holds. For one thread at a time.

    Raises:
        JournalError: the journal cannot be opened.
    """

    def __init__(self, run_dir: Path) -> None:
        self._dir = run_dir
        try:
            self._connection = sqlite3.connect(
                f"{(run_dir / JOURNAL_NAME).absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                timeout=BUSY_S,
                check_same_thread=False,
            )
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
            (page,) = self._connection.execute("PRAGMA page_size").fetchone()
            self._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_BYTES // page}")
        except sqlite3.Error as error:
            raise JournalError(f"cannot merge into the run in {run_dir}: {error}") from error

    def merged(self) -> dict[int, Merged]:
        """Every block that is in.

        Raises:
            JournalError: a note is damaged.
        """
        try:
            rows = self._connection.execute(
                "SELECT key, value FROM header WHERE key LIKE ?", (f"{_NOTE}%",)
            ).fetchall()
            return {
                int(key.removeprefix(_NOTE)): msgspec.json.decode(value, type=Merged) for key, value in rows
            }
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise JournalError(f"the run in {self._dir} is damaged ({type(error).__name__})") from None

    def merge(self, done: Done, image: Path) -> bool:
        """Put a block's rows into the journal.

        Args:
            done: its end.
            image: a local copy of its journal.

        Returns:
            False where it was in already.

        Raises:
            DataError: a task of it belongs to another block too.
            JournalError: the image is no journal, or the run's cannot be written; nothing was.
        """
        return self.merge_all([(done, image)])[0]

    def merge_all(self, blocks: Sequence[tuple[Done, Path]]) -> list[bool]:
        """Put the rows of some blocks into the journal, `AT_ONCE` at most: all of them, or none.

        Returns:
            For each whether it was not in already.

        Raises:
            DataError, JournalError: as `merge`.
        """
        run, names = self._connection, [f"shard{number}" for number in range(len(blocks))]
        attached: list[str] = []
        try:
            try:
                for name, (_, image) in zip(names, blocks, strict=True):
                    run.execute(f"ATTACH ? AS {name}", (_immutable(image),))
                    attached.append(name)
                    run.execute(f"PRAGMA {name}.mmap_size={_MAPPED}")
                run.execute("BEGIN IMMEDIATE")
                try:
                    fresh = [self._merge(done, name) for name, (done, _) in zip(names, blocks, strict=True)]
                    run.execute("COMMIT")
                except BaseException:
                    if run.in_transaction:
                        run.execute("ROLLBACK")
                    raise
            finally:
                for name in attached:
                    run.execute(f"DETACH {name}")
        except sqlite3.IntegrityError:
            raise DataError(self._twice([image for _, image in blocks])) from None
        except sqlite3.Error as error:
            which = ", ".join(str(done.block) for done, _ in blocks)
            raise JournalError(f"cannot merge block {which} into {self._dir}: {error}") from error
        return fresh

    def export(self) -> int:
        """Write the pairs, as `rro_sdk.export.trl.write_pairs` does but one task at a time.

        Returns:
            The number of pairs.

        Raises:
            JournalError: the journal cannot be read, or the pairs cannot be written.
        """
        try:
            return write_lines(self._dir / PAIRS_NAME, self._pairs())
        except OSError as failure:
            raise JournalError(
                f"cannot write {self._dir / PAIRS_NAME}: {failure.strerror}; mend it and resume the run"
            ) from failure
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise JournalError(f"the run in {self._dir} is damaged ({type(error).__name__})") from None

    def close(self) -> None:
        self._connection.close()

    def _merge(self, done: Done, shard: str) -> bool:
        run, key = self._connection, f"{_NOTE}{done.block:09d}"
        if (row := run.execute("SELECT value FROM header WHERE key = ?", (key,)).fetchone()) is not None:
            before = msgspec.json.decode(row[0], type=Merged)
            if before.epoch >= done.epoch:
                return False
            for table, task in (("turn", "task_id"), ("rollout", "task_id"), ("task", "id")):
                run.execute(f"DELETE FROM {table} WHERE {task} IN (SELECT id FROM {shard}.task)")
            run.execute("DELETE FROM event WHERE seq BETWEEN ? AND ?", before.events)
        last, at = run.execute("SELECT seq, at FROM event ORDER BY seq DESC LIMIT 1").fetchone() or (0, 0.0)
        for table in ("task", "turn", "rollout"):
            run.execute(f"INSERT INTO {table} SELECT * FROM {shard}.{table}")
        # Blocks overlap in time, and the run's events are one after the other: a clock that never goes back.
        added = run.execute(
            "INSERT INTO event (at, task_id, kind, once, body)"
            f" SELECT max(at, ?), task_id, kind, once, body FROM {shard}.event ORDER BY seq",
            (at,),
        ).rowcount
        note = Merged(done.epoch, done.digest, (last + 1, last + added), done.finished, done.owed, done.pairs)
        run.execute("INSERT OR REPLACE INTO header VALUES (?, ?)", (key, _encoder.encode(note)))
        return True

    def _pairs(self) -> Iterator[bytes]:
        rows = self._connection.execute(
            "SELECT task_id, body FROM event WHERE kind = 'StepRecord' ORDER BY task_id"
        )
        for _, of_task in groupby(rows, key=lambda row: row[0]):
            found = (pair_of(_step.decode(body)) for _, body in of_task)
            for pair in sorted((pair for pair in found if pair is not None), key=in_order):
                yield _encoder.encode(to_row(pair))

    def _twice(self, images: Sequence[Path]) -> str:
        seen: set[str] = set()
        for image in images:
            with closing(sqlite3.connect(_immutable(image), uri=True)) as shard:
                for (task,) in shard.execute("SELECT id FROM task ORDER BY id"):
                    known = self._connection.execute("SELECT 1 FROM task WHERE id = ?", (task,)).fetchone()
                    if known or task in seen:
                        return f"task {task} is given twice; ids must be unique within a run"
                    seen.add(task)
        return f"a block does not fit into the run in {self._dir}; was its folder changed?"


def _immutable(image: Path) -> str:
    return f"{image.absolute().as_uri()}?mode=ro&immutable=1"
