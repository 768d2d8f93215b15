"""`python -m benchmarks.journal`: rows a second, the sampler with a journal and without, a million rows read.

The sampler runs against one server of 64 slots, the fake one of `benchmarks.sampler`. Rows are those of a
run: most are replies, the others rollouts' ends, decisions and tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._harness import Metric, at_least, below, finish, median_and_spread, ratios
from benchmarks._moves_server import moves_server
from benchmarks._simulated import Moves, tasks
from rro_sdk.draws import DrawKey
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.journal.rows import Row, end_row, event_row, task_row, turn_row
from rro_sdk.journal.writer import JournalWriter
from rro_sdk.recording import RolloutEnd, Turn
from rro_sdk.sampler import Sampler
from rro_sdk.types import (
    Action,
    Baseline,
    Candidate,
    Estimate,
    Message,
    NoPairReason,
    Observation,
    PairChoice,
    StepRecord,
    TaskEnd,
    Usage,
)

SLOTS = 64
AT_ONCE = 64
PIECE = 50_000
ROLLOUTS = 5
TURNS = 4
"""Replies of one rollout; the paper's tasks take up to ten."""

READER = """
import sys, time
from pathlib import Path
from rro_sdk.journal import Journal
from rro_sdk.ledger import ledger_of
from rro_sdk.report.text import summary_of

began = time.perf_counter()
with Journal.open(Path(sys.argv[1])) as journal:
    summary, ledger = summary_of(journal), ledger_of(journal)
seconds = time.perf_counter() - began
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(seconds, int(status["VmHWM"].split()[0]) / 1024, summary.steps, ledger.total.completion_tokens)
"""

HEADER = RunHeader(
    created="2026-01-01T00:00:00+00:00",
    seed=0,
    method={"rollouts": ROLLOUTS, "max_candidates": 5, "min_candidates": 1, "reestimate_duplicates": False},
    environment="benchmark",
    sampling={},
    servers={},
    versions={},
)


def task_rows(number: int, rng: random.Random) -> list[Row]:
    """All that a task of three steps leaves: 1 task, and per step replies, rollouts' ends and a decision."""
    task = f"task-{number}"
    usage = Usage(800, 700, 40)
    text = "Thought: the table has what is asked for, so I count its rows.\nAction: SELECT count(*) FROM pets"
    action = Action(text, "SELECT count(*) FROM pets")
    turn = Turn(action, b"0123456789abcdef", usage, ("version",), "http://127.0.0.1:30000")
    prefix = (Message("system", "x" * 1200), Message("user", "How many pets are there?"))
    rows = [task_row(task, b"0123456789abcdef")]
    estimate = Estimate((0.0, 1.0, 0.0, 1.0, 1.0))
    for rollout in range(ROLLOUTS):
        rows += _rollout(DrawKey(0, task, 0, 0, rollout), turn)
    rows.append(event_row(Baseline(task, 1, estimate, usage, ROLLOUTS * TURNS)))
    for step in range(1, 4):
        count = 1 + rng.randrange(2)
        candidates = []
        for index in range(count):
            key = DrawKey(0, task, step, index, turn=step)
            rows.append(turn_row(key, turn))
            for rollout in range(ROLLOUTS):
                rows += _rollout(key.with_rollout(rollout), turn)
            candidates.append(Candidate(index, action, Observation("[(3,)]"), estimate))
        pair = PairChoice(1, 0) if count > 1 else None
        reason: NoPairReason | None = None if pair else "single_candidate"
        record = StepRecord(
            task, step, prefix, estimate, tuple(candidates), "risen", pair, reason, 0, "version", usage, 20
        )
        rows.append(event_row(record))
    rows.append(event_row(TaskEnd(task, 3, 1.0, False)))
    return rows


def _rollout(key: DrawKey, turn: Turn) -> list[Row]:
    turns = [turn_row(key.at_turn(number), turn) for number in range(1, TURNS + 1)]
    return [*turns, end_row(key, RolloutEnd(1.0))]


async def write(journal: Journal, rows: list[list[Row]], at_once: int) -> float:
    """Rows a second, put by so many rollouts at once, each of which waits for the commit of what it put."""
    pending = iter(rows)
    began = time.perf_counter()
    async with JournalWriter(journal) as writer:

        async def one() -> None:
            for task in pending:
                for start in range(0, len(task), ROLLOUTS):
                    for row in task[start : start + ROLLOUTS]:
                        writer.put(row)
                    await writer.committed()

        await asyncio.gather(*(one() for _ in range(at_once)))
    return sum(map(len, rows)) / (time.perf_counter() - began)


def read(folder: Path) -> tuple[float, float, int, int]:
    """Seconds and MB of a process that opens a run, summarises it and balances its ledger."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder)], capture_output=True, text=True, check=True, timeout=300
    )
    seconds, megabytes, steps, tokens = done.stdout.split()
    return float(seconds), float(megabytes), int(steps), int(tokens)


async def sample(url: str, count: int, run: Path | None) -> float:
    """Tasks a second of a sampler that a server of 64 slots keeps busy, with a journal or without."""
    async with Sampler(Moves(), servers=[url], run_dir=run) as sampler:
        began = time.perf_counter()
        async for _ in sampler.events(tasks(count)):
            pass
        return count / (time.perf_counter() - began)


async def throughput(url: str, count: int, rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    """Tasks a second with and without a journal, in turns."""
    with_journal: list[float] = []
    without: list[float] = []
    await sample(url, 4, None)  # warms connections and code
    for number in range(rounds):
        kept = folder / f"sampled{number}"
        order = [kept, None] if number % 2 else [None, kept]
        for run in order:
            (without if run is None else with_journal).append(await sample(url, count, run))
    return with_journal, without


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    got = parser.parse_args(argv)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="rro-journal-") as name:
        folder = Path(name)
        with moves_server(SLOTS) as url:
            journaled, plain = asyncio.run(throughput(url, got.tasks, got.rounds, folder))
        paces, number, written = [], 0, 0
        journal = Journal.create(folder / "large", HEADER)
        while written < got.rows:  # in pieces, so that what is measured is the journal and not our own lists
            piece: list[list[Row]] = []
            while sum(map(len, piece)) < PIECE:
                piece.append(task_rows(number, rng))
                number += 1
            paces.append(asyncio.run(write(journal, piece, AT_ONCE)))
            written += sum(map(len, piece))
        journal.close()
        megabytes_on_disk = sum(path.stat().st_size for path in (folder / "large").iterdir()) / 1e6
        seconds, megabytes, steps, tokens = read(folder / "large")
    ratio, spread = median_and_spread(ratios(journaled, plain))
    pace, pace_spread = median_and_spread(paces)
    metrics = [
        at_least("rows written", pace, "1/s", 20_000, spread=pace_spread),
        at_least("sampler with a journal over without", ratio, "", 0.98, spread=spread),
        below("rows opened and summarised", seconds, "s", 5.0),
        below("memory of the reader", megabytes, "MB", 300.0),
        Metric("rows", written),
        Metric("steps among them", steps),
        Metric("generated tokens accounted for", tokens),
        Metric("size on disk", megabytes_on_disk, "MB"),
    ]
    line = (
        f"{pace:,.0f} rows/s, sampler at {ratio:.3f} of its throughput without,"
        f" {written:,} rows summarised in {seconds:.1f} s and {megabytes:.0f} MB"
    )
    return finish("journal", metrics, line, settings={"slots": SLOTS, "at_once": AT_ONCE, **vars(got)})


if __name__ == "__main__":
    sys.exit(main())
