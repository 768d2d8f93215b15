"""What it takes to start: `rro --help`, and `import rro_sdk`, each in a process of its own.

    python -m benchmarks.startup --rounds 30

The figures are wall time from starting the interpreter to its end, as a user waits, with files in the disk
cache and compiled: a first round is thrown away. Each round starts every program once, in turns, and a bare
interpreter beside them, which nothing in this package can make faster. CPU time is what a busy machine leaves
comparable. Modules are counted, and the slowest named, by `python -X importtime`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks._harness import Metric, below, finish, median_and_spread

PROGRAMS = {
    "bare interpreter": ["-c", "pass"],
    "import rro_sdk": ["-c", "import rro_sdk"],
    "rro --help": ["-c", "from rro_sdk.cli import main; main(['--help'])"],
    "rro sample --help": ["-c", "from rro_sdk.cli import main; main(['sample', '--help'])"],
}
BARS = {"rro --help": 150.0, "import rro_sdk": 200.0}

LIMIT_S = 60.0
NAMED = 5


@dataclass(frozen=True)
class Start:
    """One start of one program, in ms."""

    wall: float
    cpu: float


def start(arguments: Sequence[str]) -> Start:
    """Run the interpreter to its end.

    Raises:
        subprocess.CalledProcessError: the program failed.
    """
    before, began = _cpu_of_children(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=True)
    wall, cpu = time.perf_counter() - began, _cpu_of_children() - before
    return Start(1000 * wall, 1000 * cpu)


def _cpu_of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def measure(rounds: int) -> dict[str, list[Start]]:
    """Every program once a round, in an order that turns."""
    found: dict[str, list[Start]] = {name: [] for name in PROGRAMS}
    names = list(PROGRAMS)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            once = start(PROGRAMS[name])
            if number:
                found[name].append(once)
    return found


def imported(arguments: Sequence[str]) -> dict[str, float]:
    """Own import time of each module, in ms."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    found = {}
    for line in done.stderr.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if line.startswith("import time:") and own.strip().isdigit():
            found[rest.partition("|")[2].strip()] = int(own) / 1000
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("--rounds", type=int, default=30)
    got = parser.parse_args(argv)
    found = measure(got.rounds)
    metrics: list[Metric] = []
    notes: list[str] = []
    for name, starts in found.items():
        wall, spread = median_and_spread([each.wall for each in starts])
        bar = BARS.get(name)
        metrics.append(
            Metric(f"{name}: wall", wall, "ms", spread=spread)
            if bar is None
            else below(f"{name}: wall", wall, "ms", bar, spread=spread)
        )
        cpu, spread = median_and_spread([each.cpu for each in starts])
        metrics.append(Metric(f"{name}: CPU", cpu, "ms", spread=spread))
    for name in BARS:
        modules = imported(PROGRAMS[name])
        metrics.append(Metric(f"{name}: modules", len(modules)))
        slowest = sorted(modules.items(), key=lambda each: -each[1])[:NAMED]
        notes.append(f"{name}, slowest modules: " + ", ".join(f"{each} {ms:.1f} ms" for each, ms in slowest))
    notes.append(f"load of the machine over the last minute: {os.getloadavg()[0]:.1f}")
    walls = {name: median_and_spread([each.wall for each in found[name]])[0] for name in BARS}
    line = ", ".join(f"{name} {ms:.0f} ms (bar {BARS[name]:.0f})" for name, ms in walls.items())
    return finish("startup", metrics, line, settings=vars(got), packages=("click",), notes=notes)


if __name__ == "__main__":
    sys.exit(main())
