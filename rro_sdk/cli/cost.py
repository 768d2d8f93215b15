"""`rro cost`: where a run's tokens went, and its money."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from rro_sdk.cli._options import json_option


@click.command("cost", short_help="where a run's tokens went")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--gpu-hour", type=float, help="Price of a GPU-hour, in any currency.")
@click.option("--gpus", type=int, default=1, show_default=True, help="GPUs that the servers held.")
@json_option
def command(run_dir: Path, gpu_hour: float | None, gpus: int, as_json: bool) -> None:
    """Account for every token that the servers spent on a run: what decided something, and what did not."""
    from rro_sdk.errors import ConfigError
    from rro_sdk.journal import Journal
    from rro_sdk.ledger import cost_of, ledger_of
    from rro_sdk.report.text import format_rows, ledger_rows

    if gpus < 1 or (gpu_hour is not None and gpu_hour < 0):
        raise ConfigError(f"--gpus must be at least 1 and --gpu-hour at least 0, not {gpus} and {gpu_hour}")
    with Journal.open(run_dir) as journal:
        ledger = ledger_of(journal)
    cost = cost_of(ledger, price_per_gpu_hour=gpu_hour, gpus=gpus) if gpu_hour is not None else None
    if as_json:
        click.echo(msgspec.json.encode({"ledger": ledger, "total": ledger.total, "cost": cost}).decode())
        return
    rows = ledger_rows(ledger)
    if cost is not None:
        rows.append(("GPU-hours", f"{cost.gpu_hours:.3f}"))
        rows.append(("money", f"{cost.money:.2f}"))
        rows.append(("per pair", "-" if cost.per_pair is None else f"{cost.per_pair:.4f}"))
    click.echo(format_rows(rows))
