"""How every benchmark ends: a table, a result file, one line and an exit code.

    metrics = [at_most("CPU per completion", 0.21, "ms", 0.35), Metric("rounds", 5, "")]
    return finish("client", metrics, "0.21 ms of CPU per completion")

A bar is compared here and nowhere else, so that `ok` always follows from the value that was measured.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from rro_sdk.atomic import write_lines

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

GIT_LIMIT_S = 10.0
"""Asking for the commit takes milliseconds; a hanging file system must not hold the results back."""


class Metric(msgspec.Struct, frozen=True):
    """One measured figure.

    Attributes:
        metric: what was measured, unique within its benchmark.
        value: the figure, a median where there were rounds. NaN where it could not be measured.
        unit: of `value` and of `spread`; "" for a ratio or a count.
        bar: what it is held to, such as "<= 0.35"; None for a figure that is only reported.
        ok: whether it meets the bar; None without one. `at_most` and `at_least` set both.
        spread: lowest and highest over the rounds, where there were several.
        note: why a bar is missed, or what the figure must not be taken for.
    """

    metric: str
    value: float
    unit: str = ""
    bar: str | None = None
    ok: bool | None = None
    spread: tuple[float, float] | None = None
    note: str = ""


def at_most(
    metric: str,
    value: float,
    unit: str,
    bar: float,
    *,
    spread: tuple[float, float] | None = None,
    note: str = "",
) -> Metric:
    """A figure that must not exceed its bar. NaN misses it."""
    return Metric(metric, value, unit, f"<= {bar:g}", value <= bar, spread, note)


def at_least(
    metric: str,
    value: float,
    unit: str,
    bar: float,
    *,
    spread: tuple[float, float] | None = None,
    note: str = "",
) -> Metric:
    """A figure that must reach its bar. NaN misses it."""
    return Metric(metric, value, unit, f">= {bar:g}", value >= bar, spread, note)


def below(
    metric: str,
    value: float,
    unit: str,
    bar: float,
    *,
    spread: tuple[float, float] | None = None,
    note: str = "",
) -> Metric:
    """A figure that must stay strictly under its bar. NaN misses it."""
    return Metric(metric, value, unit, f"< {bar:g}", value < bar, spread, note)


def median_and_spread(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median of the rounds, and the lowest and highest of them.

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no rounds to summarise")
    return statistics.median(values), (min(values), max(values))


def ratios(above: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round, one figure over the other: both were taken within moments of each other.

    Raises:
        ValueError: not as many of the one as of the other.
    """
    return [a / b for a, b in zip(above, under, strict=True)]


def finish(
    name: str,
    metrics: Sequence[Metric],
    line: str,
    *,
    settings: Mapping[str, Any] | None = None,
    packages: Sequence[str] = (),
    notes: Sequence[str] = (),
    folder: Path = RESULTS,
) -> int:
    """Print the table, write `folder/name.json`, print `name: line`.

    Args:
        name: the benchmark's module, `client` for benchmarks.client.
        metrics: what was measured.
        line: the one line to remember, without the name.
        settings: what the run was asked for (rounds, sizes), kept in the file.
        packages: distributions whose versions belong to the figures, beside the SDK's own.
        notes: sentences for the file and below the table.
        folder: where the file goes.

    Returns:
        The exit code: 1 where a bar is missed, else 0.

    Raises:
        ValueError: two metrics of one name.
    """
    names = [metric.metric for metric in metrics]
    if len(set(names)) < len(names):
        raise ValueError(f"benchmark {name} has two metrics of one name")
    missed = [metric for metric in metrics if metric.ok is False]
    record = {
        "benchmark": name,
        "ok": not missed,
        "line": line,
        "metrics": metrics,
        "notes": list(notes),
        "settings": dict(settings or {}),
        "machine": machine(),
        "versions": versions(("msgspec", "aiohttp", *packages)),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(record), indent=2)
    write_lines(folder / f"{name}.json", [content])
    console = Console(width=None if os.isatty(1) else 120, highlight=False)
    console.print(_table(name, metrics))
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    for metric in missed:
        why = f": {metric.note}" if metric.note else ""
        console.print(
            f"missed: {metric.metric} is {_number(metric.value)}, not {metric.bar}{why}",
            markup=False,
            soft_wrap=True,
        )
    print(f"{name}: {line}", flush=True)
    return 1 if missed else 0


def machine() -> dict[str, Any]:
    """What the figures were taken on; nothing that names the machine or its owner."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Installed version of each distribution; None where it is not installed."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit() -> str | None:
    """The checked-out commit, "+changes" where code differs from it; None outside of a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return head + ("+changes" if changed else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=GIT_LIMIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _table(name: str, metrics: Sequence[Metric]) -> Table:
    table = Table(title=f"benchmarks.{name}")
    table.add_column("metric", overflow="fold")
    for column in ("value", "spread", "unit", "bar", "ok"):
        table.add_column(column, justify="right" if column in ("value", "spread") else "left", no_wrap=True)
    for metric in metrics:
        low_high = "" if metric.spread is None else " .. ".join(_number(end) for end in metric.spread)
        verdict = {True: "yes", False: "MISSED", None: ""}[metric.ok]
        table.add_row(metric.metric, _number(metric.value), low_high, metric.unit, metric.bar or "", verdict)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
