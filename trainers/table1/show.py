"""The tables as text, as plain data, and as a picture."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table as Grid

from trainers.table1.analysis import Row, Table
from trainers.table1.arms import ARMS, PAPER_FEW_SHOT, PAPER_SFT
from trainers.table1.results import FEW_SHOT, SFT, Thirds

WIDTH = 132


def format_table(table: Table, env: str) -> str:
    """Table 1 with the paper's figures beside ours, the comparisons, and Table 2 where it was run."""
    grid = Grid(title=f"Table 1, {env}: {table.seeds} seeds x {table.held_out} held-out tasks, greedy")
    for name in ("policy", "reward [95 %]", "over SFT [95 %]", "samples", "null", "rollouts", "tokens"):
        grid.add_column(name, justify="left" if name == "policy" else "right")
    for name in ("tasks", "pairs", "seconds", "CPU s", "paper"):
        grid.add_column(name, justify="right")
    for row in table.rows:
        costs = (row.rollouts, row.generated, row.tasks, row.pairs, row.sampling_s + row.training_s)
        grid.add_row(
            title(row.key),
            with_interval(row.reward, row.interval),
            "" if row.key == SFT else with_interval(row.over_sft, row.over_sft_interval, "+"),
            _number(row.samples, ".2f"),
            _number(row.null, ".2f"),
            *(f"{cost:,.0f}" if row.tasks else "" for cost in costs),
            _number(row.cpu_s, ",.0f"),
            paper(row.key, env),
        )
    parts = [_text(grid)]
    if said := notes(table.rows, table.seeds):
        parts.append("\n".join(said))
    if table.differences:
        lines = []
        for each in table.differences:
            found = with_interval(each.difference, each.interval, "+")
            told = "" if is_clear(each.interval) else " (not told apart)"
            lines.append(f"{title(each.more)} over {title(each.less)}: {found}{told}")
        parts.append("\n".join(lines))
    if drawing := [row for row in table.rows if row.drawn is not None]:
        drawn = Grid(title="The same policies, drawing at the temperature of the exploration")
        for name in ("policy", "reward [95 %]", "over SFT [95 %]"):
            drawn.add_column(name, justify="left" if name == "policy" else "right")
        for row in drawing:
            drawn.add_row(title(row.key), *drawn_cells(row))
        parts.append(_text(drawn))
    if table.thirds:
        second = Grid(title="Table 2: steps whose reward rises, by thirds of the trajectory, held-out tasks")
        for name in ("policy", "first", "middle", "last", "strictly: first", "middle", "last"):
            second.add_column(name, justify="left" if name == "policy" else "right")
        for key, thirds in table.thirds.items():
            second.add_row(title(key), *_shares(thirds))
        parts.append(_text(second))
    return "\n\n".join(parts)


def notes(rows: Sequence[Row], seeds: int) -> list[str]:
    """What must be said beside the figures of Table 1, a line each."""
    found = [
        f"{title(row.key)}: {row.left_out:.1f} of its pairs were too long to train on"
        for row in rows
        if row.left_out
    ]
    found += [f"{title(row.key)}: too few tasks to spend all tokens on" for row in rows if row.short]
    found += [f"{title(row.key)}: {row.failed:.1f} of its tasks failed" for row in rows if row.failed]
    if seeds == 1:
        found.append("One seed: every interval is over the tasks alone; another seed may lie outside of it")
    return found


def title(key: str) -> str:
    """A policy as the tables call it."""
    name, _, variant = key.partition("/")
    if not variant:
        return {FEW_SHOT: "few-shot", SFT: "SFT"}[key]
    return f"{ARMS[name].title} (same {variant})"


def drawn_cells(row: Row) -> tuple[str, str]:
    """Reward and its gain over SFT at the temperature of the exploration; "" where it was not asked for."""
    if row.drawn is None or row.drawn_interval is None:
        return "", ""
    over, interval = row.drawn_over_sft, row.drawn_over_sft_interval
    gain = "" if row.key == SFT or over is None or interval is None else with_interval(over, interval, "+")
    return with_interval(row.drawn, row.drawn_interval), gain


def as_plain(table: Table, settings: dict[str, Any]) -> dict[str, Any]:
    """What is stored: the whole table, the settings that it was made under, and with what.

    The model is named and not where it lay: a result is read on other machines.
    """
    versions = {
        name: importlib.metadata.version(name) for name in ("rro-sdk", "torch", "transformers", "trl")
    }
    machine = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
    named = {**settings, "model": Path(settings["model"]).name}
    return {"settings": named, "machine": machine, "versions": versions, **msgspec.to_builtins(table)}


def draw_figure(table: Table, path: Path) -> None:
    """Figure 2: reward against samples a step, the policies that explore (needs the extra `report`).

    Args:
        table: the results.
        path: a .png or .svg file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for row in table.rows:
        if row.samples is None:
            continue
        low, high = row.interval
        axes.errorbar(
            row.samples,
            row.reward,
            yerr=[[row.reward - low], [high - row.reward]],
            fmt="o" if row.key.endswith("/tasks") else "s",
            capsize=3,
            label=title(row.key),
        )
    (sft,) = (row for row in table.rows if row.key == SFT)
    axes.axhline(sft.reward, linestyle="--", color="grey", label="SFT")
    axes.set_xlabel("samples (candidates a step)")
    axes.set_ylabel("reward on held-out tasks, 95 % interval")
    axes.legend(fontsize="small")
    figure.savefig(path)


def _shares(found: Thirds) -> list[str]:
    return [_number(share, ".3f") for share in (*found.rising, *found.strictly)]


def paper(key: str, env: str) -> str:
    """The paper's reward for a policy, with its samples a step; "" where it has none."""
    name, _, variant = key.partition("/")
    if not variant:
        reward = {FEW_SHOT: PAPER_FEW_SHOT, SFT: PAPER_SFT}[key].get(env)
        return "" if reward is None else f"{reward:.2f}"
    if variant != "tasks" or env not in ARMS[name].paper:
        return ""
    reward, samples = ARMS[name].paper[env]
    return f"{reward:.2f}" + (f" ({samples:g})" if samples is not None else "")


def with_interval(value: float, interval: tuple[float, float], sign: str = "") -> str:
    """A figure with its interval, as the tables write it."""
    return f"{value:{sign}.3f} [{interval[0]:{sign}.3f}, {interval[1]:{sign}.3f}]"


def is_clear(interval: tuple[float, float]) -> bool:
    """Whether a difference with this interval is told apart from none."""
    return interval[0] > 0 or interval[1] < 0


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)


def _text(grid: Grid) -> str:
    console = Console(width=WIDTH, no_color=True)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
