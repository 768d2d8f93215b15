"""Plans as text and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from rro_sdk.methods import RisingReward
from rro_sdk.planner.expectation import Plan
from rro_sdk.planner.recorded import RecordedRun
from rro_sdk.planner.search import Budget, Option, rule_text, settings_text
from rro_sdk.report.text import format_rows


def format_run(run: RecordedRun) -> str:
    """What a run was taken for, in one sentence."""
    steps = run.steps
    low, high = steps.spread_interval
    return (
        f"planned from {run.count:,} steps, which are worth {steps.independent:,.0f} independent ones:"
        f" success rate {steps.success_rate:.2f}, spread {steps.spread:.2f} ({low:.2f} to {high:.2f}),"
        f" {100 * steps.duplicates:.0f} % of later candidates equal an earlier one"
    )


def format_plan(found: Plan) -> str:
    """A plan as two columns."""
    reasons = ", ".join(f"{100 * share:.0f} % {reason}" for reason, share in found.no_pair.items())
    rows = [
        (
            "candidates per step",
            f"{_with_interval(found, 'candidates_per_step', 2)};"
            f" null: {_with_interval(found, 'candidates_per_step_null', 2)}",
        ),
        ("rollouts per step", _with_interval(found, "rollouts_per_step", 2)),
        ("actions drawn per step", f"{found.draws_per_step:.2f}"),
        ("steps with a pair", f"{100 * found.pair_rate:.0f} %"),
        ("steps without", reasons or "none"),
        ("pairs per 1,000 rollouts", _with_interval(found, "pairs_per_1000_rollouts", 1)),
        ("pair precision", _with_interval(found, "pair_precision", 3)),
    ]
    if found.tokens_per_step is not None:
        rows.append(("generated tokens", f"{found.tokens_per_step:,.0f} a step{_per_pair(found, 'tokens')}"))
    if found.seconds_per_step is not None:
        rows.append(("wall time", f"{found.seconds_per_step:.3g} s a step{_per_pair(found, 'seconds')}"))
    return format_rows(rows)


def format_options(options: Sequence[Option], *, budget: Budget | None = None) -> str:
    """Settings side by side; with a budget, what it buys."""
    table = Table(box=None, pad_edge=False, header_style="")
    names = ["method", "m", "cap", "rule", "on_first_rise", "reuse"]
    names += ["candidates", "rollouts", "pairs/1000", "precision"]
    priced = any(option.plan.tokens_per_step is not None for option in options)
    timed = any(option.plan.seconds_per_step is not None for option in options)
    names += ["tokens"] * priced + ["seconds"] * timed + ["pairs"] * (budget is not None)
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number in (0, 3, 4, 5) else "right", no_wrap=True)
    for option in options:
        found, rising = option.plan, isinstance(option.method, RisingReward)
        cells = [
            "rro" if rising else "fixed",
            str(option.method.rollouts),
            str(option.method.max_candidates),
            rule_text(option.method.rule) if isinstance(option.method, RisingReward) else "-",
            option.method.on_first_rise if isinstance(option.method, RisingReward) else "-",
            option.spending.reuse,
            f"{found.candidates_per_step:.2f}",
            f"{found.rollouts_per_step:.2f}",
            f"{found.pairs_per_1000_rollouts:.1f}",
            "-" if found.pair_precision is None else f"{found.pair_precision:.3f}",
        ]
        cells += [f"{found.tokens_per_step or 0:,.0f}"] * priced
        cells += [f"{found.seconds_per_step or 0:.3g}"] * timed
        cells += [f"{option.pairs:,.0f}"] * (budget is not None)
        table.add_row(*cells)
    console = Console(width=160, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table, highlight=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def format_optimum(best: Option, frontier: Sequence[Option], budget: Budget) -> str:
    """The settings to use, what to expect of them, and the frontier."""
    return "\n\n".join(
        [
            f"for {budget.amount:,.0f} {budget.unit}: {settings_text(best.method, best.spending)}",
            f"{best.pairs:,.0f} pairs, of which {best.net_pairs:,.0f} more are right than are not\n"
            + format_plan(best.plan),
            "the frontier (none has both more pairs and a better precision):\n"
            + format_options(frontier, budget=budget),
        ]
    )


def option_as_data(option: Option) -> dict[str, Any]:
    """Settings and plan, for JSON."""
    rule = rule_text(option.method.rule) if isinstance(option.method, RisingReward) else None
    first = option.method.on_first_rise if isinstance(option.method, RisingReward) else None
    settings = {
        "method": "rro" if isinstance(option.method, RisingReward) else "fixed",
        "rollouts": option.method.rollouts,
        "max_candidates": option.method.max_candidates,
        "rule": rule,
        "on_first_rise": first,
        "prefix": option.method.prefix,
        **{name: getattr(option.spending, name) for name in ("early_decision", "reuse", "speculate")},
    }
    plain: dict[str, Any] = msgspec.to_builtins(option.plan)
    return {"settings": settings, **({"pairs": option.pairs} if option.pairs else {}), **plain}


def _with_interval(found: Plan, name: str, digits: int) -> str:
    value = getattr(found, name)
    if value is None:
        return "-"
    if name not in found.intervals:
        return f"{value:.{digits}f}"
    low, high = found.intervals[name]
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _per_pair(found: Plan, what: str) -> str:
    per_step = found.tokens_per_step if what == "tokens" else found.seconds_per_step
    if not found.pair_rate or per_step is None:
        return ""
    per_pair = per_step / found.pair_rate
    return f", {per_pair:,.0f} a pair" if what == "tokens" else f", {1000 * per_pair:,.0f} s for 1,000 pairs"
