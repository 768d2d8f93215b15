"""How fast blocks are merged into a run, and how large what they leave is."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks._scripted import METHOD, Guess, ScriptedGuesses, guessing_tasks
from benchmarks.journal import HEADER, task_rows
from rro_sdk.cluster.blocks import Done, epoch_name
from rro_sdk.cluster.merge import AT_ONCE, PAGE_SIZE, Merger
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.journal import JOURNAL_NAME, Journal
from rro_sdk.journal.rows import Row
from rro_sdk.sampler import Sampler

_EVENT = "at, task_id, kind, once, body"


@dataclass(frozen=True)
class Merged:
    """What merging came to; the note that a block is in is among its rows' transaction.

    Attributes:
        rows, replies, pairs: merged.
        seconds, cpu_s: that it took, of wall time and of a core.
        size: bytes of the run's journal after it.
    """

    rows: int
    replies: int
    pairs: int
    seconds: float
    cpu_s: float
    size: int


def paper_block(first: int, tasks: int) -> list[list[Row]]:
    """Rows of tasks as the paper's: five rollouts of four turns, three steps, one or two candidates each."""
    rng = random.Random(first)
    return [task_rows(number, rng) for number in range(first, first + tasks)]


def scripted_block(first: int, tasks: int) -> list[list[Row]]:
    """Rows of tasks as a scripted run of `benchmarks.ray_scale` leaves them, by the sampler itself."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"

        async def sample() -> None:
            async with Sampler(Guess(), policy=ScriptedGuesses(), method=METHOD, run_dir=run) as sampler:
                async for _ in sampler.events(guessing_tasks(first, tasks)):
                    pass

        asyncio.run(sample())
        with closing(sqlite3.connect(run / JOURNAL_NAME)) as journal:
            return [
                [
                    (f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
                    for row in journal.execute(f"SELECT * FROM {table}")
                ]
                for table in ("task", "turn", "rollout")
            ] + [
                [
                    (f"INSERT INTO event ({_EVENT}) VALUES (?, ?, ?, ?, ?)", row)
                    for row in journal.execute(f"SELECT {_EVENT} FROM event ORDER BY seq")
                ]
            ]


def merge_blocks(blocks: int, tasks: int, rows_of: Callable[[int, int], list[list[Row]]]) -> Merged:
    """Merge so many blocks of so many tasks; see `merge_rounds`."""
    return merge_rounds(blocks, tasks, rows_of, 1)[0]


def merge_rounds(
    blocks: int, tasks: int, rows_of: Callable[[int, int], list[list[Row]]], rounds: int
) -> list[Merged]:
    """Merge so many blocks of so many tasks, again and again into a new run.

    Their images are made before the clock runs; it stops when all rows are in their places in the journal.
    Blocks are merged as a driver does with which merging cannot keep up: as many at once as it takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        images, rows, replies, pairs = [], 0, 0, 0
        for number in range(blocks):
            path = Path(folder) / f"block{number}"
            image = Journal.create(path, HEADER)
            content = [row for task in rows_of(number * tasks, tasks) for row in task]
            image.write(content)
            image.close()
            done = Done(number, epoch_name(1, number), "", "", 0, tasks, tasks, 0, 0, 0, 0)
            images.append((done, path / JOURNAL_NAME))
            rows += len(content)
            replies += sum("INTO turn" in statement for statement, _ in content)
            pairs += sum(b'"pair":{' in values[4] for statement, values in content if "event" in statement)
        found = []
        for number in range(rounds):
            run = Path(folder) / f"run{number}"
            journal, merger = Journal.create(run, HEADER, page_size=PAGE_SIZE), Merger(run)
            began, cpu = time.perf_counter(), time.process_time()
            for start in range(0, blocks, AT_ONCE):
                assert all(merger.merge_all(images[start : start + AT_ONCE]))
            merger.close()
            journal.close()
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
            found.append(Merged(rows, replies, pairs, seconds, cpu_s, (run / JOURNAL_NAME).stat().st_size))
        return found


def commit_s(size: int, count: int) -> float:
    """Seconds of one commit of so many bytes to a shared folder that is a path on this machine's disk."""
    with tempfile.TemporaryDirectory() as folder:
        shared = SharedFolder(folder)
        shared.put("block/0.open", b"{}")
        log = shared.writer("block/0.log")
        began = time.perf_counter()
        for _ in range(count):
            log.append(b"x" * size)
        return (time.perf_counter() - began) / count
