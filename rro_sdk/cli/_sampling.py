"""What `rro sample` and `rro resume` do alike: run a sampler to its end and show how it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from rro_sdk.cli._progress import shown
from rro_sdk.collector import fewer_collections
from rro_sdk.envs.base import Environment
from rro_sdk.errors import JournalError
from rro_sdk.journal import Journal
from rro_sdk.ledger import ledger_of
from rro_sdk.metrics.named import check_names, open_sinks
from rro_sdk.metrics.sampling import tell_summary
from rro_sdk.report.summary import RunSummary
from rro_sdk.report.text import format_summary, summary_of, write_summary
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task


def run_to_end(
    env: Environment,
    sampler: Sampler,
    tasks: Sequence[Task],
    run_dir: Path,
    *,
    quiet: bool,
    as_json: bool,
    log: Sequence[str] = (),
) -> None:
    """Explore the tasks; leave journal, pairs and summary in the run's folder, and metrics where `log` says.

    Raises:
        ConfigError: metrics cannot go there.
        KeyboardInterrupt: after what was drawn is recorded; the run can be resumed.
    """

    async def run() -> None:
        with ExitStack() as stack:
            summary = await explored(stack)
            _report(summary, run_dir, as_json=as_json)

    async def explored(stack: ExitStack) -> RunSummary:
        async with env:
            async with sampler:
                sinks = stack.enter_context(open_sinks(log, run_dir))
                sampler.report_to(sinks)
                if sampler.kept is not None and not quiet:
                    click.echo(str(sampler.kept), err=True)
                with shown(sampler, quiet=quiet):
                    async for _ in sampler.events(tasks):
                        pass
            with Journal.open(run_dir) as journal:
                summary = msgspec.structs.replace(sampler.summary(), ledger=ledger_of(journal))
            tell_summary(summary, sinks)
            return summary

    check_names(log)
    try:
        with fewer_collections():
            asyncio.run(run())
    except (KeyboardInterrupt, JournalError):
        click.echo(f"what was drawn is kept; go on with: rro resume {run_dir}", err=True)
        raise


def report_to(run_dir: Path, *, as_json: bool) -> None:
    """Write and show the summary of a run that owes nothing."""
    with Journal.open(run_dir) as journal:
        _report(summary_of(journal), run_dir, as_json=as_json)


def _report(summary: RunSummary, run_dir: Path, *, as_json: bool) -> None:
    try:
        write_summary(summary, run_dir)
    except OSError as error:
        raise JournalError(f"cannot write the summary in {run_dir}: {error.strerror}") from error
    click.echo(msgspec.json.encode(summary).decode() if as_json else format_summary(summary))
