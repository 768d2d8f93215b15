"""How fast the environments are on one core: steps of InterCode-SQL and WebShop, forks, searches.

    python -m benchmarks.envs

InterCode-SQL is given what agents really wrote: the recorded episodes of GPT-4, GPT-3.5 and text-davinci-003
(`sql/recorded_turns.jsonl` of the data folder), each played with its own statements and then submitted. Many
statements come again and are remembered, so the share that does not is stated beside every figure:

- *cold*: a new environment, nothing remembered. This is the figure with the bar.
- *distinct only*: the same without the statements that come again on their database.
- *warm*: the same environment plays them all once more, and remembers every answer.

The process is held to one core. The figures are per second of CPU, since the machine may be shared and this
work waits for nothing; per second of the clock stands beside them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from importlib import import_module

import click

from benchmarks._harness import Metric, at_least, below, finish, median_and_spread
from rro_sdk.collector import fewer_collections
from rro_sdk.envs._data import data_folder
from rro_sdk.envs.intercode_sql import InterCodeSQL, open_library
from rro_sdk.envs.intercode_sql.agreement import Recording, read_golds, read_recordings
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.errors import ConfigError, DataError, RROError
from rro_sdk.types import Task

STEPS_BAR = 5_000.0
FORK_BAR_US = 50.0
FORKS = 20_000


@dataclass(frozen=True)
class Script:
    """One recorded episode: its task and what the agent wrote."""

    task: Task
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Pace:
    """Steps of one run."""

    steps: int
    cpu_s: float
    wall_s: float

    @property
    def per_cpu_s(self) -> float:
        return self.steps / self.cpu_s

    @property
    def per_s(self) -> float:
        return self.steps / self.wall_s


def scripts(library: Library) -> list[Script]:
    """The recorded episodes whose gold statement runs.

    Raises:
        ConfigError: there is no data folder.
    """
    data = data_folder()
    if data is None:
        raise ConfigError("benchmarks.envs plays recorded episodes: set RRO_DATA to the data folder")
    path = data / "sql" / "recorded_turns.jsonl"
    golds = {(db, index): gold for (db, index, _), gold in read_golds(None, path).items()}
    return [
        Script(_task(each, golds[each.db, each.idx]), tuple(turn.action for turn in each.turns))
        for each in read_recordings(path, library.catalog)
        if (each.db, each.idx) in golds
    ]


def _task(recording: Recording, gold: str) -> Task:
    return Task(f"{recording.model}-{recording.idx}", recording.query, {"db": recording.db, "gold": gold})


async def playable(library: Library, found: list[Script]) -> list[Script]:
    """Those whose task can be started: a few gold statements fail in MySQL."""
    kept = []
    async with InterCodeSQL(library=library) as env:
        for script in found:
            try:
                await (await env.start(script.task)).close()
            except DataError:
                continue
            kept.append(script)
    return kept


def distinct_only(found: list[Script]) -> list[Script]:
    """The same episodes without the statements that were given on their database before."""
    seen: set[tuple[object, str]] = set()
    kept = []
    for script in found:
        fresh = []
        for command in script.commands:
            key = (script.task.data["db"], command)
            if key not in seen:
                seen.add(key)
                fresh.append(command)
        kept.append(Script(script.task, tuple(fresh)))
    return [script for script in kept if script.commands]


async def play(env: InterCodeSQL, found: list[Script]) -> Pace:
    """Every episode to its end, one after the other; a step is a command, `submit` too."""
    steps = 0
    cpu, wall = time.process_time(), time.perf_counter()
    for script in found:
        episode = await env.start(script.task)
        for command in (*script.commands, "submit"):
            steps += 1
            if (await episode.step(command)).done:
                break
        await episode.close()
    return Pace(steps, time.process_time() - cpu, time.perf_counter() - wall)


async def forks(library: Library, script: Script) -> float:
    """CPU-microseconds of one fork of an episode that has been under way."""
    async with InterCodeSQL(library=library) as env:
        episode = await env.start(script.task)
        await episode.step(script.commands[0])
        began = time.process_time()
        for _ in range(FORKS):
            await episode.fork()
        return (time.process_time() - began) / FORKS * 1e6


def measure_sql(rounds: int) -> list[Metric]:
    library = open_library()
    found = asyncio.run(playable(library, scripts(library)))
    alone = distinct_only(found)
    total = sum(len(script.commands) for script in found)
    share = sum(len(script.commands) for script in alone) / total

    async def round_of(played: list[Script]) -> tuple[Pace, Pace]:
        async with InterCodeSQL(library=library) as env:
            return await play(env, played), await play(env, played)

    cold, warm, distinct, fork_us = [], [], [], []
    for _ in range(rounds):
        first, second = asyncio.run(round_of(found))
        cold.append(first)
        warm.append(second)
        distinct.append(asyncio.run(round_of(alone))[0])
        fork_us.append(asyncio.run(forks(library, found[0])))
    note = f"{100 * share:.0f} % of the {total} statements are distinct on their database"
    pace, spread = median_and_spread([each.per_cpu_s for each in cold])
    fork, fork_spread = median_and_spread(fork_us)
    return [
        at_least("SQL steps per CPU second, cold", pace, "1/s", STEPS_BAR, spread=spread, note=note),
        _pace("SQL steps per CPU second, distinct statements only", [each.per_cpu_s for each in distinct]),
        _pace("SQL steps per CPU second, warm", [each.per_cpu_s for each in warm]),
        _pace("SQL steps per second of the clock, cold", [each.per_s for each in cold]),
        Metric("share of distinct statements", share, note=note),
        below("SQL fork", fork, "us", FORK_BAR_US, spread=fork_spread),
    ]


def _pace(name: str, values: list[float]) -> Metric:
    value, spread = median_and_spread(values)
    return Metric(name, value, "1/s", spread=spread)


def hold_to_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--only", type=click.Choice(["sql", "webshop"]), help="One environment alone.")
def main(rounds: int, only: str | None) -> None:
    hold_to_one_core()
    metrics: list[Metric] = []
    try:
        with fewer_collections():  # as the commands that explore do
            if only != "webshop":
                metrics += measure_sql(rounds)
            if only != "sql":
                metrics += import_module("benchmarks._envs_webshop").measure()
    except RROError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    by_name = {metric.metric: metric for metric in metrics}
    lines = []
    if "SQL fork" in by_name:
        lines.append(
            f"SQL {by_name['SQL steps per CPU second, cold'].value:,.0f} steps/s cold on one core"
            f" ({100 * by_name['share of distinct statements'].value:.0f} % distinct),"
            f" {by_name['SQL steps per CPU second, warm'].value:,.0f} warm,"
            f" fork {by_name['SQL fork'].value:.1f} us"
        )
    lines += [
        f"{metric.metric} {metric.value:,.4g} {metric.unit}".strip()
        for metric in metrics
        if metric.bar is not None and not metric.metric.startswith("SQL")
    ]
    raise SystemExit(
        finish(
            "envs" if only is None else f"envs_{only}",
            metrics,
            "; ".join(lines),
            settings={"rounds": rounds, "only": only},
            packages=("sqlglot", "sqlglotc", "numpy"),
            notes=["one process on one core; per second of CPU, because the cores are shared with others"],
        )
    )


if __name__ == "__main__":
    main()
