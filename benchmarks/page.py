"""`python -m benchmarks.page`: how soon a run of 100,000 steps stands in the browser, and a page of tasks.

The run is written straight into a journal: rewards are drawn, texts are as long as real ones. `rro view` is
started anew for each round, and keeps nothing from one to the next; the clock stops when Chromium, which runs
already, shows the run's numbers, the plots that need every step, or the first rows of the table. The CPU that
`rro view` took by then is less at the mercy of what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, sync_playwright

from benchmarks._harness import Metric, below, finish, median_and_spread
from rro_sdk.draws import DrawKey
from rro_sdk.errors import ConfigError
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.journal.rows import Row, end_row, event_row, task_row, turn_row
from rro_sdk.page.reading import StepFacts, facts_after
from rro_sdk.page.single_file import write_page
from rro_sdk.page.source import Runs
from rro_sdk.recording import RolloutEnd, Turn
from rro_sdk.report.text import summary_of, write_summary
from rro_sdk.types import (
    Action,
    Baseline,
    Candidate,
    Estimate,
    Message,
    NoPairReason,
    Observation,
    PairChoice,
    StepOutcome,
    StepRecord,
    TaskEnd,
    Usage,
)

STEPS = 3
ROLLOUTS = 5
TURNS = 3
PIECE = 40_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COMMAND = "SELECT count(*) FROM pets"
VIEW = [sys.executable, "-c", "from rro_sdk.cli import main; main()", "view"]

HEADER = RunHeader(
    created="2026-01-01T00:00:00+00:00",
    seed=0,
    method={
        **{"name": "rising_reward", "rollouts": ROLLOUTS, "max_candidates": 5, "min_candidates": 1},
        **{"reestimate_duplicates": False, "rule": {"type": "Paper"}},
    },
    environment="benchmark",
    sampling={},
    servers={f"http://server-{number}:30000": {} for number in range(4)},
    versions={},
)

SHOWN = {
    "summary": ("", ".headline strong"),
    "plots of every step": ("", "text=Reward by step"),
    "table": ("#/tasks", "table.tasks tbody tr"),
}
"""What is waited for: the view, and what is there when it is shown."""

QUERIES = (
    "",
    "sort=pairs&down=true",
    "sort=outcome&offset=20000",
    "q=question+1234",
    "q=in+no+task+at+all",
    "outcome=solved&pairs=yes&sort=last&down=true&offset=2000",
)


def task_rows(number: int, rng: random.Random) -> list[Row]:
    """All that a task leaves behind, with rewards drawn around a success rate of its own."""
    task = f"task-{number}"
    rate = rng.random()
    usage = Usage(900, 780, 42)
    turn = Turn(
        Action(
            "Thought: the table has what is asked for, so I count.\nAction: SELECT count(*) FROM pets", "S"
        ),
        b"0123456789abcdef",
        usage,
        ("version",),
        f"http://server-{number % 4}:30000",
    )
    rows = [task_row(task, b"0123456789abcdef")]

    def estimate(key: DrawKey) -> Estimate:
        outcomes = tuple(float(rng.random() < rate) for _ in range(ROLLOUTS))
        for rollout, outcome in enumerate(outcomes):
            own = key.with_rollout(rollout)
            rows.extend(turn_row(own.at_turn(key.turn + later), turn) for later in range(TURNS))
            rows.append(end_row(own, RolloutEnd(outcome)))
        return Estimate(outcomes)

    baseline = estimate(DrawKey(0, task, 0, 0))
    rows.append(event_row(Baseline(task, 1, baseline, usage, ROLLOUTS * TURNS)))
    prefix: tuple[Message, ...] = (
        Message("system", "You answer questions with SQL. " * 40),
        Message("user", f"Question {number}: how many pets are older than {number % 9}?"),
    )
    for step in range(1, STEPS + 1):
        candidates: list[Candidate] = []
        while len(candidates) < 5 and (not candidates or candidates[-1].reward < baseline.reward):
            key = DrawKey(0, task, step, len(candidates), turn=step)
            rows.append(turn_row(key, turn))
            action = Action(f"{turn.action.text} WHERE age > {len(candidates)}", turn.action.command)
            worth = estimate(key.at_turn(step + 1))
            candidates.append(Candidate(len(candidates), action, Observation("[(3,)] " * 20), worth))
        best = max(candidates, key=lambda each: each.reward)
        worst = min(candidates, key=lambda each: each.reward)
        outcome: StepOutcome = "risen" if candidates[-1].reward >= baseline.reward else "exhausted"
        pair = PairChoice(best.index, worst.index) if best.reward > worst.reward else None
        reason: NoPairReason | None = None
        if pair is None:
            reason = "single_candidate" if len(candidates) == 1 else "equal_rewards"
        record = StepRecord(
            task_id=task,
            step=step,
            prefix=prefix,
            baseline=baseline,
            candidates=tuple(candidates),
            outcome=outcome,
            pair=pair,
            no_pair=reason,
            advance=0,
            weight_version="version",
            usage=usage,
            turns=len(candidates) * (1 + ROLLOUTS * TURNS),
        )
        rows.append(event_row(record))
        ahead = candidates[0]
        prefix = (*prefix, Message("assistant", ahead.action.text), Message("user", ahead.observation.text))
        baseline = ahead.estimate
    rows.append(event_row(TaskEnd(task, STEPS, float(rng.random() < rate), False)))
    return rows


def write_run(folder: Path, steps: int) -> None:
    """Write a run of at least so many steps, with its summary."""
    rng, rows = random.Random(0), list[Row]()
    with Journal.create(folder, HEADER) as journal:
        for number in range(-(-steps // STEPS)):
            rows += task_rows(number, rng)
            if len(rows) > PIECE:
                journal.write(rows)
                rows = []
        journal.write(rows)
    with Journal.open(folder) as journal:
        write_summary(summary_of(journal), folder)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A fresh `rro view` and its address; it ends with the block."""
    with subprocess.Popen([*VIEW, str(folder), "--json"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield json.loads(child.stdout.readline())["url"], child
        finally:
            child.send_signal(signal.SIGINT)


class Opened(NamedTuple):
    """Seconds from the command to what is looked for in the browser, and its CPU seconds until then."""

    seconds: float
    cpu_s: float


def opened(browser: Browser, folder: Path, route: str, ready: str) -> Opened:
    """Start `rro view` and wait for something in the browser."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    began = time.perf_counter()
    with served(folder) as (url, child):
        page.goto(f"{url}{route}")
        page.wait_for_selector(ready)
        seconds = time.perf_counter() - began
        spent = cpu_s(child.pid)
        page.close()
    return Opened(seconds, spent)


def asked(url: str, path: str) -> float:
    """Seconds until an answer is there whole."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}{path}", timeout=300) as answer:
        answer.read()
    return time.perf_counter() - began


def cpu_s(pid: int) -> float:
    """CPU seconds that a process took so far; NaN where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Most memory that a process had; NaN where the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", type=Path, help="a folder for the run, to be read again the next time")
    got = parser.parse_args(argv)
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise ConfigError("the page is measured in Chromium, which is not installed; `make browser` does it")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="rro-page-") as name:
        folder = got.run or Path(name) / "run"
        if not folder.exists():
            write_run(folder, got.steps)
        with Journal.open(folder) as journal:
            steps = sum(isinstance(facts, StepFacts) for _, _, facts in facts_after(journal, 0))
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        rounds: dict[str, list[Opened]] = {view: [] for view in SHOWN}
        with sync_playwright() as player:
            browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
            for _ in range(got.rounds):
                for view, (route, ready) in SHOWN.items():
                    rounds[view].append(opened(browser, folder, route, ready))
            browser.close()
        with served(folder) as (url, child):
            asked(url, "api/figures?run=0&part=decisions")
            pages = [asked(url, f"api/tasks?{query}") for _ in range(got.rounds) for query in QUERIES]
            trajectory = [asked(url, f"api/task?id=task-{number * 997}") for number in range(got.rounds)]
            whole = asked(url, "api/figures?run=0&part=all")
            memory = resident_mb(child.pid)
        began = time.perf_counter()
        with Runs([folder]) as runs:
            written = write_page(runs, Path(name) / "page.html", most=300)
        file_seconds = time.perf_counter() - began
    shown = {view: median_and_spread([each.seconds for each in found]) for view, found in rounds.items()}
    spent = {view: median_and_spread([each.cpu_s for each in found]) for view, found in rounds.items()}
    metrics = [
        *(below(f"{view} in the browser", each[0], "s", 3.0, spread=each[1]) for view, each in shown.items()),
        *(Metric(f"CPU until then, {view}", each[0], "s", spread=each[1]) for view, each in spent.items()),
        below("a page of the table, slowest", max(pages), "s", 0.3, spread=(min(pages), max(pages))),
        Metric("a trajectory", max(trajectory), "s"),
        Metric("every figure, with a scan of all replies", whole, "s"),
        Metric("memory of the server", memory, "MB"),
        Metric("file of 300 trajectories, written in", file_seconds, "s"),
        Metric("file of 300 trajectories", written.bytes / 1e6, "MB"),
        Metric("load average when it began", load),
        Metric("steps", steps),
        Metric("journal", megabytes, "MB"),
    ]
    line = (
        f"{steps:,} steps: numbers {shown['summary'][0]:.1f} s after the command, table"
        f" {shown['table'][0]:.1f} s, plots {shown['plots of every step'][0]:.1f} s,"
        f" a page of the table within {max(pages):.2f} s"
    )
    settings = {"steps": got.steps, "rounds": got.rounds}
    return finish("page", metrics, line, settings=settings, packages=("playwright",))


if __name__ == "__main__":
    sys.exit(main())
