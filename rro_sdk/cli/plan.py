"""`rro plan`: what a method will cost and yield, before any money is spent."""

from __future__ import annotations

from typing import Literal

import click
import msgspec


@click.command("plan", short_help="what a method will cost and yield")
@click.option("--method", type=click.Choice(["rro", "fixed"]), default="rro", show_default=True)
@click.option("--rollouts", "-m", type=int, default=5, show_default=True, help="Rollouts per process reward.")
@click.option("--max-candidates", type=int, default=5, show_default=True)
@click.option(
    "--on-first-rise",
    type=click.Choice(["skip", "second", "prefix_action"]),
    default="skip",
    show_default=True,
)
@click.option(
    "--rule",
    default="paper",
    show_default=True,
    metavar="RULE",
    help="paper, strict, margin(D) or posterior(P).",
)
@click.option(
    "--success-rate", type=float, required=True, help="Chance that a rollout from the prefix succeeds."
)
@click.option(
    "--spread", type=float, default=0.3, show_default=True, help="How much candidates differ, 0 to 1."
)
@click.option("--steps", type=int, default=20_000, show_default=True, help="Simulated steps.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(
    method: str,
    rollouts: int,
    max_candidates: int,
    on_first_rise: Literal["skip", "second", "prefix_action"],
    rule: str,
    success_rate: float,
    spread: float,
    steps: int,
    seed: int,
    as_json: bool,
) -> None:
    """Simulate steps with known true values: candidates, rollouts, pairs, and how often a pair is right.

    How much candidates differ (--spread) decides most of it, and is not known beforehand: try several.
    """
    from rro_sdk.methods import FixedSize, RisingReward
    from rro_sdk.methods.base import Method
    from rro_sdk.methods.rules import read_rule
    from rro_sdk.planner import plan
    from rro_sdk.report.text import format_rows

    chosen: Method = (
        FixedSize(rollouts=rollouts, max_candidates=max_candidates)
        if method == "fixed"
        else RisingReward(
            rollouts=rollouts,
            max_candidates=max_candidates,
            on_first_rise=on_first_rise,
            rule=read_rule(rule),
        )
    )
    found = plan(chosen, success_rate=success_rate, spread=spread, steps=steps, seed=seed)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    precision = "-"
    if found.pair_precision is not None and found.pair_precision_interval is not None:
        low, high = found.pair_precision_interval
        precision = f"{found.pair_precision:.3f} (95 % interval {low:.3f} to {high:.3f})"
    reasons = ", ".join(f"{100 * share:.0f} % {reason}" for reason, share in found.no_pair.items())
    click.echo(
        format_rows(
            [
                (
                    "candidates per step",
                    f"{found.candidates_per_step:.2f} (null: {found.candidates_per_step_null:.2f})",
                ),
                ("rollouts per step", f"{found.rollouts_per_step:.2f}, beside the prefix's own"),
                ("steps with a pair", f"{100 * found.pair_rate:.0f} %"),
                ("steps without", reasons or "none"),
                ("pairs per 1,000 rollouts", f"{found.pairs_per_1000_rollouts:.1f}"),
                ("pair precision", precision),
            ]
        )
    )
