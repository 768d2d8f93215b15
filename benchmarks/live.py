"""`python -m benchmarks.live`: what the live view costs the sampler that it shows.

The sampler runs against the fake server of `benchmarks.sampler`, in a process of its own and fast enough for
the sampler's CPU to be what there is too little of. It explores the same tasks with a view on a
pseudo-terminal and with none, in turns; without, it does not tell of itself either. Both keep a journal.
The view's own thread is clocked besides, with far less noise. About half of it is SQLite, which runs beside
the sampler and takes nothing from it where a core is free.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rich.console import Console

from benchmarks._harness import Metric, at_most, finish, median_and_spread, ratios
from benchmarks._moves_server import moves_server
from benchmarks._simulated import Moves, tasks
from rro_sdk.collector import fewer_collections
from rro_sdk.live.beside import ViewBeside
from rro_sdk.live.publish import Publisher
from rro_sdk.live.status import Ended
from rro_sdk.sampler import Sampler

SLOTS = 256

FEWEST_ROUNDS = 3
"""Rounds that are run however long they take: fewer have no spread to speak of."""

NOTE = "a redraw costs the same whether the sampler works or waits, so this falls as the sampler works more"


@dataclass(frozen=True)
class Run:
    """One run: CPU and clock seconds of the sampler, CPU seconds of the view, steps decided."""

    cpu_s: float
    clock_s: float
    view_s: float
    steps: int


class Silent(Publisher):
    """Tells nothing."""

    def start(self) -> None:
        return

    async def stop(self, ended: Ended) -> None:
        return


@contextmanager
def terminal() -> Iterator[Console]:
    """A pseudo-terminal whose other end a process of its own reads."""
    ours, theirs = pty.openpty()
    with (
        subprocess.Popen(["cat"], stdin=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reader,
        os.fdopen(theirs, "w", encoding="utf-8") as file,
    ):
        os.close(ours)
        try:
            yield Console(file=file, force_terminal=True, width=80, height=24)
        finally:
            reader.terminate()


async def sample(url: str, count: int, folder: Path, console: Console | None) -> Run:
    """Explore so many tasks, with a view on the console or without."""
    view = ViewBeside(folder, console) if console is not None else None
    with nullcontext() if view is not None else mock.patch("rro_sdk.sampler.Publisher", Silent):
        async with Sampler(Moves(), servers=[url], run_dir=folder) as sampler:
            began, spent = time.perf_counter(), time.process_time()
            with view or nullcontext():
                async for _ in sampler.events(tasks(count)):
                    pass
            cpu_s, clock_s = time.process_time() - spent, time.perf_counter() - began
    return Run(cpu_s, clock_s, view.spent_s if view is not None else 0.0, sampler.stats.steps)


async def rounds(
    url: str, count: int, times: int, within_s: float, folder: Path, console: Console
) -> tuple[list[Run], list[Run]]:
    """With a view and without, in turns, the one first and then the other; as often as fits the time."""
    shown: list[Run] = []
    alone: list[Run] = []
    await sample(url, 4, folder / "warm", console)
    began = time.perf_counter()
    for number in range(times):
        passed = time.perf_counter() - began
        if number >= FEWEST_ROUNDS and passed * (number + 1) / number > within_s:
            break
        for view in (True, False) if number % 2 else (False, True):
            run = await sample(url, count, folder / f"{number}-{view}", console if view else None)
            (shown if view else alone).append(run)
    return shown, alone


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live")
    parser.add_argument("--tasks", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=8, help="at most")
    parser.add_argument("--seconds", type=float, default=210.0, help="no round begins that would end later")
    got = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="rro-live-") as name,
        moves_server(SLOTS) as url,
        terminal() as console,
        fewer_collections(),
    ):
        shown, alone = asyncio.run(rounds(url, got.tasks, got.rounds, got.seconds, Path(name), console))
    cpu, cpu_spread = median_and_spread(ratios([run.cpu_s for run in shown], [run.cpu_s for run in alone]))
    clock, clock_spread = median_and_spread(
        ratios([run.clock_s for run in shown], [run.clock_s for run in alone])
    )
    busy, busy_spread = median_and_spread([run.cpu_s / run.clock_s for run in shown])
    share, share_spread = median_and_spread([run.view_s / run.cpu_s for run in shown])
    pace, pace_spread = median_and_spread([run.steps / run.clock_s for run in shown])
    core, core_spread = median_and_spread([run.view_s / run.clock_s for run in shown])
    metrics = [
        at_most("time with the view over without", clock, "", 1.01, spread=clock_spread),
        at_most("CPU of the view, of one core", core, "", 0.01, spread=core_spread),
        Metric("CPU of the view over that of the process", share, "", spread=share_spread, note=NOTE),
        Metric("CPU with the view over without", cpu, "", spread=cpu_spread),
        Metric("steps a second with the view", pace, "1/s", spread=pace_spread),
        Metric("rounds", len(shown)),
        Metric("load average when it began", load),
        Metric("cores that the process used", busy, "", spread=busy_spread),
    ]
    line = (
        f"with the view a run takes {clock:.3f} of its time without ({clock_spread[0]:.3f} to"
        f" {clock_spread[1]:.3f}); the view takes {100 * core:.2f} % of a core"
    )
    return finish("live", metrics, line, settings={"slots": SLOTS, **vars(got)})


if __name__ == "__main__":
    sys.exit(main())
