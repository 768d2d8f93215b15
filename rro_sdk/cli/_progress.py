"""A live line of figures while sampling: redrawn on a terminal, plain lines every so often elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from rro_sdk.sampler import Sampler

PLAIN_EVERY_S = 10.0


class SamplingProgress:
    """Shows a sampler's running totals on stderr. Call `update` after each event."""

    def __init__(self, sampler: Sampler, tasks: int, *, quiet: bool = False) -> None:
        self._sampler = sampler
        self._tasks = tasks
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._began = self._shown = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(
                get_renderable=self._table, console=self._console, refresh_per_second=4, transient=False
            )
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
        elif not self._quiet:
            self._print_line()

    def update(self) -> None:
        if self._live is None and not self._quiet and time.monotonic() - self._shown >= PLAIN_EVERY_S:
            self._print_line()

    def _print_line(self) -> None:
        self._shown = time.monotonic()
        self._console.print(
            ", ".join(f"{name} {value}" for name, value in self._figures()), highlight=False, soft_wrap=True
        )

    def _figures(self) -> list[tuple[str, str]]:
        stats, elapsed = self._sampler.stats, time.monotonic() - self._began
        per_step = f"{stats.candidates / stats.steps:.2f}" if stats.steps else "-"
        fleet = self._sampler.fleet
        figures = [
            ("tasks", f"{stats.tasks_finished}/{self._tasks}"),
            ("failed", str(stats.tasks_failed)),
            ("steps", str(stats.steps)),
            ("candidates/step", per_step),
            ("rollouts", str(stats.rollouts)),
            ("pairs", str(stats.pairs)),
            ("tokens/s", f"{stats.tokens.completion_tokens / max(elapsed, 1e-9):.0f}"),
            ("seconds", f"{elapsed:.0f}"),
        ]
        return [*figures, ("in flight", str(fleet.in_flight))] if fleet else figures

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        figures = self._figures()
        half = (len(figures) + 1) // 2
        for row in (figures[:half], figures[half:]):
            table.add_row(*(f"[dim]{name}[/dim] [bold]{value}[/bold]" for name, value in row))
        return table
