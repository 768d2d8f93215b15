"""`rro data experts`: questions that there are already, with expert trajectories, divided into parts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from rro_sdk.atomic import refuse_taken
from rro_sdk.cli._options import json_option


@click.command("experts", short_help="divide SQL questions and play their gold statements")
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    help="JSONL with query, gold and db in every line. [default: the data folder's]",
)
@click.option(
    "--split",
    type=click.Choice(["question", "database"]),
    default="database",
    show_default=True,
    help="What no two parts share.",
)
@click.option(
    "--fractions",
    type=(float, float, float),
    default=(0.6, 0.2, 0.2),
    show_default=True,
    help="Shares of train, validation and test.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the division.")
@click.option(
    "--sqlite",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Your own databases, each NAME.sqlite there. [default: InterCode's]",
)
@click.option("--show-schema", is_flag=True, help="For episodes that open with the schema: nobody looks.")
@click.option("--max-chars", type=int, help="Leave out tasks whose expert episode is longer than that.")
@click.option("--out", type=click.Path(path_type=Path), help="New folder. [default: under runs/]")
@json_option
def command(
    questions: Path | None,
    split: Any,
    fractions: tuple[float, float, float],
    seed: int,
    sqlite: Path | None,
    show_schema: bool,
    max_chars: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Divide SQL questions with gold statements, Spider's by default, and play each gold as an expert would.

    Leaves what `rro data synth sql` leaves: OUT/{train,validation,test}.jsonl for --tasks, OUT/sft.jsonl for
    `rro train sft`, OUT/tasks.jsonl and OUT/manifest.json. A question whose gold does not score 1 is left
    out and counted.
    """
    from collections import Counter

    import msgspec

    from rro_sdk.envs.intercode_sql import InterCodeSQL, load_tasks, open_library
    from rro_sdk.synthesis.folder import SPLITS, task_lines, write_folder
    from rro_sdk.synthesis.sql import sqlite_library
    from rro_sdk.synthesis.sql.given import Given, with_experts

    target = out or Path("runs") / f"questions-{split}-{seed}"
    refuse_taken(target)
    library = sqlite_library(sqlite) if sqlite else open_library()

    async def divide() -> Given:
        async with InterCodeSQL(library=library, show_schema=show_schema) as env:
            return await with_experts(
                env,
                load_tasks(questions, library=library),
                split=split,
                fractions=fractions,
                seed=seed,
                max_chars=max_chars,
            )

    made = asyncio.run(divide())
    counts = Counter(task.split for task in made.tasks)
    databases = {name: sorted({each.db for each in made.tasks if each.split == name}) for name in SPLITS}
    figures = {"tasks": len(made.tasks), "splits": counts, "databases": databases, "left_out": made.left_out}
    manifest = {
        "what": "SQL questions with their gold statements played as experts",
        "settings": {
            "split": split,
            "fractions": fractions,
            "seed": seed,
            "show_schema": show_schema,
            "max_chars": max_chars,
        },
        "databases_sha256": library.catalog.source_sha256,
        "found": figures,
    }
    write_folder(target, task_lines(made.tasks, made.played), manifest)
    if as_json:
        click.echo(msgspec.json.encode({**figures, "out": str(target)}).decode())
        return
    parts = ", ".join(f"{counts[name]} {name} over {len(databases[name])} databases" for name in SPLITS)
    click.echo(f"{target}: {len(made.tasks)} questions; {parts}")
    for reason, count in made.left_out.items():
        click.echo(f"left out: {count}, {reason}")
