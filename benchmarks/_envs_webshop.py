"""How fast WebShop is: steps, forks, and searches among a million products. `benchmarks.envs` runs it."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

from benchmarks._harness import Metric, at_least, below, median_and_spread
from rro_sdk.envs._data import data_folder
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.check import EpisodeRow
from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.envs.webshop.experts import expert_turns
from rro_sdk.envs.webshop.generated import GeneratedProducts
from rro_sdk.envs.webshop.goals import goals_from, read_goals
from rro_sdk.envs.webshop.products import Products, read_lines
from rro_sdk.envs.webshop.sources import load, shop_files
from rro_sdk.errors import ConfigError
from rro_sdk.types import Task

ROUNDS = 3
STEPS_BAR = 3_000.0
FORK_BAR_US = 50.0
SEARCH_BAR_MS = 20.0

FORKS = 20_000
MANY = 1_000_000
SEARCHES = 300

Script = tuple[Task, tuple[str, ...]]


def measure() -> list[Metric]:
    """Figures of CPU time on one core, with their bars.

    The steps are those of the recorded episodes (scripted and random walks through the 1,000-product shop).

    Raises:
        ConfigError: there is no data folder.
    """
    products, scripts = _recorded()
    cold, warm, forks = [], [], []
    for _ in range(ROUNDS):
        # A new catalogue remembers no search and no page.
        env = WebShop(catalogue=Catalogue(products))
        cold.append(asyncio.run(_pace(env, scripts)))
        warm.append(asyncio.run(_pace(env, scripts)))
        forks.append(asyncio.run(_fork_us(env, scripts[0])))
    return [*_step_metrics(scripts, cold, warm, forks), *_large_shop()]


def _recorded() -> tuple[Products, list[Script]]:
    data, files = data_folder(), shop_files()
    if data is None or files is None or files.goals is None:
        raise ConfigError("benchmarks.envs plays recorded episodes: set RRO_DATA to the data folder")
    goals = {goal.goal_idx: goal for goal in read_goals(files.goals)}
    path: Path = data / "webshop" / "episodes_reference.jsonl"
    scripts = [
        (goals[row.goal_idx].task(number), tuple(turn.action or "" for turn in row.steps[1:]))
        for number, (_, row) in enumerate(read_lines(path, EpisodeRow))
    ]
    return load(files).products, scripts


async def _pace(env: WebShop, scripts: list[Script]) -> float:
    """Steps per CPU second, with the starts of episodes."""
    steps = 0
    began = time.process_time()
    for task, commands in scripts:
        episode = await env.start(task)
        for command in commands:
            await episode.step(command)
            steps += 1
        await episode.close()
    return steps / (time.process_time() - began)


async def _fork_us(env: WebShop, script: Script) -> float:
    task, commands = script
    episode = await env.start(task)
    for command in commands[:2]:
        await episode.step(command)
    began = time.process_time()
    for _ in range(FORKS):
        await episode.fork()
    return (time.process_time() - began) / FORKS * 1e6


def _step_metrics(
    scripts: list[Script], cold: list[float], warm: list[float], forks: list[float]
) -> list[Metric]:
    commands = [command for _, actions in scripts for command in actions]
    searches = [command for command in commands if command.startswith("search")]
    note = f"{len(commands)} steps, {len(set(searches))} distinct searches among {len(searches)}"
    pace, spread = median_and_spread(cold)
    again, again_spread = median_and_spread(warm)
    fork, fork_spread = median_and_spread(forks)
    return [
        at_least("WebShop steps per CPU second, cold", pace, "1/s", STEPS_BAR, spread=spread, note=note),
        Metric("WebShop steps per CPU second, searches remembered", again, "1/s", spread=again_spread),
        below("WebShop fork", fork, "us", FORK_BAR_US, spread=fork_spread),
    ]


def _large_shop() -> list[Metric]:
    """A generated shop of a million products: what searches cost, and what it takes to have it."""
    gc.collect()
    before = _memory_mb("VmRSS")
    began = time.process_time()
    env = WebShop(catalogue=Catalogue(GeneratedProducts(MANY)))
    built_s = time.process_time() - began
    gc.collect()
    resident, peak = _memory_mb("VmRSS") - before, _memory_mb("VmHWM")
    goals = goals_from(env.catalogue.products, count=SEARCHES)
    took = []
    for goal in goals:
        start = time.process_time()
        env.catalogue.search(goal.instruction_text)
        took.append((time.process_time() - start) * 1e3)
    middle, spread = median_and_spread(took)
    worst = sorted(took)[int(len(took) * 0.95)]

    async def experts() -> int:
        return sum([len(await expert_turns(env, goal.task(0))) for goal in goals[:30]])

    note = f"{SEARCHES} whole instructions as queries; nothing is remembered"
    return [
        below("WebShop search among 1,000,000", middle, "ms", SEARCH_BAR_MS, spread=spread, note=note),
        Metric("WebShop search among 1,000,000, 95th percentile", worst, "ms"),
        Metric("WebShop index of 1,000,000, arrays", env.catalogue.index_bytes / 1e6, "MB"),
        Metric(
            "WebShop shop of 1,000,000, resident", resident, "MB", note="index, names, vocabulary, caches"
        ),
        Metric("WebShop shop of 1,000,000, peak of the process", peak, "MB", note="while the index is built"),
        Metric("WebShop shop of 1,000,000, CPU to make", built_s, "s"),
        Metric("WebShop expert steps to a reward of 1 on 30 goals", asyncio.run(experts())),
    ]


def _memory_mb(field: str) -> float:
    """Memory of this process by its name in Linux's status file; NaN where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(f"{field}:")]
    return kilobytes[0] / 1024 if kilobytes else float("nan")
