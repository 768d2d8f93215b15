"""A run's summary as text and as a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from rro_sdk.atomic import write_lines
from rro_sdk.journal import Journal
from rro_sdk.ledger import Ledger, ledger_of
from rro_sdk.methods.rules import Margin, Paper, Posterior, Rule, Strict
from rro_sdk.report.summary import THIRDS, RunStats, RunSummary

SUMMARY_NAME = "summary.json"


def summary_of(journal: Journal) -> RunSummary:
    """The summary of a recorded run; its wall time runs from the first event to the last.

    Raises:
        JournalError: the journal is damaged.
    """
    stats = stats_of(journal)
    for event in journal.events():
        stats.add(event)
    return msgspec.structs.replace(stats.summary(), wall_s=journal.duration_s(), ledger=ledger_of(journal))


def stats_of(journal: Journal) -> RunStats:
    """Empty totals under a recorded run's method, to add some of its events to."""
    method = journal.header().method
    return RunStats(
        rollouts=method["rollouts"],
        max_candidates=method["max_candidates"],
        min_candidates=method["min_candidates"],
        reestimate_duplicates=method["reestimate_duplicates"],
        rule=rule_of(method),
    )


def rule_of(method: dict[str, Any]) -> Rule | None:
    """The rule among a method's settings, or those of the method within it; None for one of your own."""
    plain = method.get("rule") or method.get("stop", {}).get("rule") or {}
    kinds: dict[Any, Callable[..., Rule]] = {
        each.__name__: each for each in (Margin, Paper, Posterior, Strict)
    }
    if plain.get("type") not in kinds:
        return None
    return kinds[plain["type"]](**{name: value for name, value in plain.items() if name != "type"})


def write_summary(summary: RunSummary, run_dir: Path) -> None:
    """Write `summary.json` into the run's folder, whole or not at all."""
    write_lines(run_dir / SUMMARY_NAME, [msgspec.json.format(msgspec.json.encode(summary), indent=2)])


def format_summary(summary: RunSummary) -> str:
    """The summary as an aligned table of at most 100 columns; 95 % intervals in brackets."""
    tokens, lost = summary.tokens, summary.lost_to_reload
    lost_tokens = lost.prompt_tokens - lost.cached_tokens + lost.completion_tokens
    cached = tokens.cached_tokens / tokens.prompt_tokens if tokens.prompt_tokens else None
    worth = (
        "" if summary.effective_steps is None else f", worth {summary.effective_steps:.0f} independent ones"
    )
    rows = [
        ("tasks", f"{summary.tasks} explored, {summary.tasks_failed} set aside"),
        ("mean outcome", _mean(summary, "mean_outcome")),
        ("steps", f"{summary.steps} ({_counts(summary.steps_by_outcome)}){worth}"),
        ("candidates per step", _mean(summary, "candidates_per_step")),
        ("  null, if none were better", _mean(summary, "candidates_per_step_null")),
        ("pairs", f"{summary.pairs}"),
        ("  per 1,000 rollouts", _mean(summary, "pairs_per_1000_rollouts", 1)),
        ("steps without a pair", _counts(summary.no_pair)),
        ("rollouts / turns", f"{summary.rollouts:,} / {summary.turns:,}"),
        (
            "tokens",
            f"{tokens.prompt_tokens:,} prompt ({_percent(cached)} cached),"
            f" {tokens.completion_tokens:,} generated",
        ),
        ("lost to reload", f"{lost_tokens:,} tokens"),
        *_thirds(summary, "rising_by_third", "rising"),
        *_thirds(summary, "strictly_rising_by_third", "strictly rising"),
        ("retried requests", f"{summary.retries}"),
        ("wall time", f"{summary.wall_s:.1f} s"),
        *(ledger_rows(summary.ledger) if summary.ledger is not None else ()),
    ]
    return format_rows(rows)


def ledger_rows(ledger: Ledger) -> list[tuple[str, str]]:
    """Where the tokens went, as rows for `format_rows`."""
    total = ledger.total
    cached = total.cached_tokens / total.prompt_tokens if total.prompt_tokens else None
    rows = [
        (
            "prompt tokens",
            f"{total.prompt_tokens:,} = {total.cached_tokens:,} cached ({_percent(cached)})"
            f" + {total.prompt_tokens - total.cached_tokens:,} prefilled",
        ),
        ("generated tokens", f"{total.completion_tokens:,}, of which"),
    ]
    for kind, entry in ledger.entries.items():
        if entry.requests:
            share = (
                entry.usage.completion_tokens / total.completion_tokens if total.completion_tokens else None
            )
            rows.append(
                (
                    f"  {kind.replace('_', ' ')}",
                    f"{entry.usage.completion_tokens:,} ({_percent(share)}) in {entry.requests:,} requests",
                )
            )
    if ledger.unknown_requests:
        rows.append(("unknown", f"{ledger.unknown_requests:,} requests of which nobody said what they cost"))
    return rows


def format_rows(rows: Sequence[tuple[str, str]]) -> str:
    """Two aligned columns as plain text."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(name, value)
    console = Console(width=100, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table, highlight=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _mean(summary: RunSummary, name: str, digits: int = 2) -> str:
    value = getattr(summary, name)
    if value is None or name not in summary.intervals:
        return _number(value, digits)
    low, high = summary.intervals[name]
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _thirds(summary: RunSummary, name: str, spoken: str) -> list[tuple[str, str]]:
    rows = []
    for third, share in zip(THIRDS, getattr(summary, name), strict=True):
        interval = summary.intervals.get(f"{name}.{third}")
        bracket = f" ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})" if interval is not None else ""
        rows.append(f"{_percent(share)}{bracket}")
    return [(f"{spoken}, by third", " / ".join(rows))]
