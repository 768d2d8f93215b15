"""A block's journal: a file on the sampler's own disk, and every commit of it on shared storage.

SQLite must not live on a network file system, so it does not: the local file is what the sampler reads and
writes, and may be lost. A commit counts when its rows are in the epoch's log on shared storage; only then is
a reply used. At its end the whole file is put there as an image, from which it is merged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from rro_sdk.cluster.blocks import Block, Done, Opened, folder, newest
from rro_sdk.cluster.frames import pack, unpack
from rro_sdk.cluster.shared import LogWriter, SharedFolder, sha256
from rro_sdk.errors import DataError, JournalError
from rro_sdk.journal import JOURNAL_NAME, Journal, RunHeader
from rro_sdk.journal.rows import Row
from rro_sdk.run import Run

_encoder = msgspec.json.Encoder()


class ShippedJournal(Journal):
    """A journal whose commits are on shared storage when `write` returns.

    Attributes:
        log: where they go; set before the first.
        shipped: commits so far.
    """

    log: LogWriter
    shipped: int = 0

    def write(self, rows: Sequence[Row]) -> int:
        duplicates = super().write(rows)
        self.log.append(pack(rows))
        self.shipped += 1
        return duplicates


class ShardRun(Run):
    """A run that is one block: its export is the merged run's.

    Attributes:
        shipped: see `ShippedJournal`.
    """

    @property
    def shipped(self) -> int:
        assert isinstance(self._journal, ShippedJournal)
        return self._journal.shipped

    def export(self) -> None:
        return


def open_shard(
    shared: SharedFolder, block: Block, into: Path, header: RunHeader, node: str
) -> tuple[ShippedJournal, bool]:
    """Begin the block's epoch: what earlier epochs recorded is in the local journal, or it is a new one.

    Args:
        shared: the run's shared folder.
        block: the block, under the epoch that is begun.
        into: an absent or empty local folder.
        header: the run's, of a new journal.
        node: where this is.

    Returns:
        The journal, and whether it holds anything yet.

    Raises:
        DataError: the block was begun with other tasks.
        JournalError: shared storage or the local disk does not work.
    """
    place = folder(block.number)
    base = f"{place}/{block.epoch}.base"
    before = newest(shared.names(place), before=block.epoch)
    digest = None
    if before is None:
        Journal.create(into, header).close()
    else:
        recover(shared, block, before, into, header)
        _settle(into)
        digest = sha256(into / JOURNAL_NAME)
        shared.put_file(base, into / JOURNAL_NAME)
    shared.put(f"{place}/{block.epoch}.open", _encoder.encode(Opened(block.digest, digest, node)))
    if before is not None:
        _tidy(shared, block)
    journal = ShippedJournal.resume(into)
    journal.log = shared.writer(f"{place}/{block.epoch}.log")
    return journal, before is not None


def run_of(journal: ShippedJournal, into: Path, header: RunHeader, *, goes_on: bool) -> ShardRun:
    """The run that samples an opened shard, which it closes.

    Raises:
        ConfigError: it was begun with other settings, data or model.
    """
    try:
        return ShardRun.going_on(into, journal, header) if goes_on else ShardRun(into, journal)
    except BaseException:
        journal.close()
        raise


def recover(
    shared: SharedFolder, block: Block, before: tuple[str, bool], into: Path, header: RunHeader
) -> None:
    """Make the local journal what an earlier epoch left: its image, and what its log has beyond that.

    Raises:
        DataError: that epoch had other tasks.
        JournalError: what it left is damaged, or storage does not work.
    """
    epoch, ended = before
    place = folder(block.number)
    name = f"{place}/{epoch}.done" if ended else f"{place}/{epoch}.open"
    said = shared.get(name)
    if said is None:
        raise JournalError(f"{shared.url}/{name} has gone; is another driver running this run?")
    try:
        record: Done | Opened
        record = msgspec.json.decode(said, type=Done) if ended else msgspec.json.decode(said, type=Opened)
    except msgspec.DecodeError as error:
        raise JournalError(f"{shared.url}/{name} is damaged ({type(error).__name__})") from None
    if record.digest != block.digest:
        raise DataError(
            f"block {block.number} of the run in {shared.url} began with other tasks; give the same"
        )
    image = record.sha256 if isinstance(record, Done) else record.base
    if image is None:
        Journal.create(into, header).close()
    else:
        into.mkdir(parents=True, exist_ok=True)
        kind = "sqlite" if ended else "base"
        fetch(shared, f"{place}/{epoch}.{kind}", image, into / JOURNAL_NAME)
    if not ended:
        journal = Journal.resume(into)
        try:
            for payload in shared.log(f"{place}/{epoch}.log"):
                journal.write(list(unpack(payload)))
        finally:
            journal.close()


def fetch(shared: SharedFolder, name: str, digest: str, path: Path) -> None:
    """Copy an image here.

    Raises:
        JournalError: it is not there, or not what was written.
    """
    if not shared.get_file(name, path) or sha256(path) != digest:
        path.unlink(missing_ok=True)
        raise JournalError(f"{shared.url}/{name} is missing or damaged; remove it to sample its block again")


def close_shard(shared: SharedFolder, done: Done, local: Path) -> Done:
    """Put the block's image and its end on shared storage; `local` is its closed journal's folder."""
    place = folder(done.block)
    path = local / JOURNAL_NAME
    _settle(local)
    done = msgspec.structs.replace(done, sha256=sha256(path), size=path.stat().st_size)
    shared.put_file(f"{place}/{done.epoch}.sqlite", path)
    shared.put(f"{place}/{done.epoch}.done", _encoder.encode(done))
    shared.remove(*(f"{place}/{done.epoch}.{kind}" for kind in ("log", "base")))
    return done


def _settle(local: Path) -> None:
    """Bring all of a closed journal into its one file: a reader that closes last leaves a log beside it."""
    try:
        with closing(sqlite3.connect(local / JOURNAL_NAME)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise JournalError(f"cannot close the journal in {local}: {error}") from error


def _tidy(shared: SharedFolder, block: Block) -> None:
    """Remove what epochs before this one left: this one holds it all."""
    place = folder(block.number)
    for name in shared.names(place):
        if name.rpartition(".")[0] < block.epoch:
            shared.remove(f"{place}/{name}")
