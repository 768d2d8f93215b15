"""Options that the commands of `rro data synth` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rro_sdk.cli._options import json_option, seed_option

if TYPE_CHECKING:
    from rro_sdk.synthesis.experts import Played
    from rro_sdk.synthesis.folder import Divided

F = TypeVar("F", bound=Callable[..., Any])


def making_options(split_by: str, mistakes: str, careless: str) -> Callable[[F], F]:
    """How much, from which seed, divided how, and where to.

    Args:
        split_by: what a split can be by, beside "question".
        mistakes: what the experts with a mistake do.
        careless: what the careless demonstrations leave out.
    """

    def add(command: F) -> F:
        for option in (
            json_option,
            click.option("--out", type=click.Path(path_type=Path), help="New folder. [default: under runs/]"),
            click.option("--careless", type=float, default=0.0, show_default=True, help=careless),
            click.option("--mistakes", type=float, default=0.2, show_default=True, help=mistakes),
            click.option(
                "--fractions",
                type=(float, float, float),
                default=(0.8, 0.1, 0.1),
                show_default=True,
                help="Shares of train, validation and test.",
            ),
            click.option(
                "--split",
                type=click.Choice(["question", split_by]),
                default="question",
                show_default=True,
                help="What no two parts share.",
            ),
            seed_option,
            click.option("--n", type=int, default=1000, show_default=True, help="Tasks in all."),
        ):
            command = option(command)
        return command

    return add


def levels_and_parts(hardness: Mapping[str, int], splits: Mapping[str, int]) -> str:
    """Tasks by split and by difficulty, in words."""
    from rro_sdk.synthesis.difficulty import LEVELS

    parts = ", ".join(f"{count} {name}" for name, count in splits.items())
    return f"{parts}; {', '.join(f'{hardness.get(name, 0)} {name}' for name in LEVELS)}"


def write(
    target: Path,
    tasks: Sequence[Divided],
    shown: Sequence[Played],
    found: Any,
    manifest: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Write what was made, with its audit `found` and what SFT is shown in the manifest.

    Prints those as JSON if asked, else only what careless demonstrations there are.
    """
    import msgspec

    from rro_sdk.synthesis.demonstrations import outcome_of
    from rro_sdk.synthesis.folder import task_lines, write_folder

    figures = msgspec.to_builtins(found)
    outcomes = [outcome_of(each) for task, each in zip(tasks, shown, strict=True) if task.split == "train"]
    careless = sum(outcome < 1.0 for outcome in outcomes)
    demonstrations = {"careless": careless, "mean_outcome": fmean(outcomes)}
    write_folder(
        target, task_lines(tasks, shown), {**manifest, "found": figures, "demonstrations": demonstrations}
    )
    if as_json:
        made = {**figures, "experts_at_1": len(shown), "demonstrations": demonstrations, "out": str(target)}
        click.echo(msgspec.json.encode(made).decode())
    elif careless:
        click.echo(
            f"{careless} of {len(outcomes)} demonstrations leave something out; all together they score "
            f"{fmean(outcomes):.3f}"
        )
