"""A run's summary as text and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from rro_sdk.atomic import write_lines
from rro_sdk.journal import Journal
from rro_sdk.ledger import Ledger, ledger_of
from rro_sdk.report.summary import RunStats, RunSummary

SUMMARY_NAME = "summary.json"


def summary_of(journal: Journal) -> RunSummary:
    """The summary of a recorded run; its wall time runs from the first event to the last.

    Raises:
        JournalError: the journal is damaged.
    """
    method = journal.header().method
    stats = RunStats(
        rollouts=method["rollouts"],
        max_candidates=method["max_candidates"],
        min_candidates=method["min_candidates"],
        reestimate_duplicates=method["reestimate_duplicates"],
    )
    for event in journal.events():
        stats.add(event)
    return msgspec.structs.replace(stats.summary(), wall_s=journal.duration_s(), ledger=ledger_of(journal))


def write_summary(summary: RunSummary, run_dir: Path) -> None:
    """Write `summary.json` into the run's folder, whole or not at all."""
    write_lines(run_dir / SUMMARY_NAME, [msgspec.json.format(msgspec.json.encode(summary), indent=2)])


def format_summary(summary: RunSummary) -> str:
    """The summary as an aligned table of at most 80 columns."""
    tokens, lost = summary.tokens, summary.lost_to_reload
    lost_tokens = lost.prompt_tokens - lost.cached_tokens + lost.completion_tokens
    cached = tokens.cached_tokens / tokens.prompt_tokens if tokens.prompt_tokens else None
    rows = [
        ("tasks", f"{summary.tasks} explored, {summary.tasks_failed} set aside"),
        ("mean outcome", _number(summary.mean_outcome)),
        ("steps", f"{summary.steps} ({_counts(summary.steps_by_outcome)})"),
        (
            "candidates per step",
            f"{_number(summary.candidates_per_step)} (null: {_number(summary.candidates_per_step_null)})",
        ),
        ("pairs", f"{summary.pairs} ({_number(summary.pairs_per_1000_rollouts, 1)} per 1,000 rollouts)"),
        ("steps without a pair", _counts(summary.no_pair)),
        ("rollouts / turns", f"{summary.rollouts:,} / {summary.turns:,}"),
        (
            "tokens",
            f"{tokens.prompt_tokens:,} prompt ({_percent(cached)} cached),"
            f" {tokens.completion_tokens:,} generated",
        ),
        ("lost to reload", f"{lost_tokens:,} tokens"),
        ("rising, by third", _thirds(summary.rising_by_third)),
        ("strictly rising, by third", _thirds(summary.strictly_rising_by_third)),
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


def _thirds(shares: Sequence[float | None]) -> str:
    return " / ".join(_percent(share) for share in shares)
