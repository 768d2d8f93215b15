"""`rro watch`: the live view of a run that another process samples."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console

from rro_sdk.live.reader import RunReader
from rro_sdk.live.screen import Screen
from rro_sdk.live.status import TELL_S
from rro_sdk.live.view import View

BUDGET_S = 0.5
"""Of reading a second: a run of a day is caught up with in moments, and half of a core is left alone."""

FIRST_WORD_S = 3.0
"""A sampler that has just begun tells of itself within this."""


@click.command("watch", short_help="the live view of a run that another process samples")
@click.argument("run_dir", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Print how the run is now, and end.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def command(run_dir: Path, once: bool, as_json: bool) -> None:
    """Show a run while it is sampled: servers, tasks, candidates beside their null, pairs, cost, time to go.

    Reads the run's folder and writes nothing, so it may be begun and left at any time. Ends by itself when
    the run ends, and says so when the run is not being sampled.
    """
    console = Console()
    with RunReader(run_dir, budget_s=BUDGET_S) as reader:
        if as_json:
            click.echo(msgspec.json.encode(reader.look_at_all()).decode())
            return
        try:
            if once:
                view = reader.look_at_all()
                with Screen(console, page_only=True) as screen:
                    screen.show(view)
            else:
                view = _follow(reader, Screen(console))
        except KeyboardInterrupt:
            click.echo(f"the run goes on; watch it again with: rro watch {run_dir}", err=True)
            sys.exit(130)
    if (said := _last_word(view, run_dir)) is not None:
        click.echo(said, err=True)


def _follow(reader: RunReader, screen: Screen) -> View:
    first_word = time.monotonic() + FIRST_WORD_S
    with screen:
        view = reader.look()
        while (
            view.phase == "sampling"
            or view.read < 1.0
            or (view.phase == "unknown" and time.monotonic() < first_word)
        ):
            screen.show(view)
            time.sleep(TELL_S)
            view = reader.look()
        view = reader.look_at_all()
        screen.show(view, last=True)
    return view


def _last_word(view: View, run_dir: Path) -> str | None:
    """What there is to say of a run that is not being sampled; None of one that is."""
    if view.phase == "sampling":
        return None
    if view.phase == "unknown":
        return "the run is not being sampled"
    go_on = _go_on(run_dir)
    match view.phase:
        case "finished":
            left = view.tasks.waiting
            return f"the run ended with {left:,} tasks open; {go_on}" if left else "the run has ended"
        case "interrupted":
            return f"the run was interrupted; {go_on}"
        case "failed":
            return f"the run failed; {go_on}"
        case "lost":
            return f"the run was broken off without a word; {go_on}"


def _go_on(run_dir: Path) -> str:
    """How: `rro resume` knows the command that made a run, and no program."""
    from rro_sdk.journal import Journal

    with Journal.open(run_dir) as journal:
        known = journal.header().command is not None
    return f"go on with: rro resume {run_dir}" if known else "call the command or program that made it again"
