"""`rro data synth sql`: questions with gold statements and expert trajectories."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from rro_sdk.atomic import refuse_taken
from rro_sdk.cli.data._making import levels_and_parts, making_options, write


@click.command("sql", short_help="questions over any databases")
@making_options(
    "database",
    "Share of experts that correct an error.",
    "Share of the demonstrations in sft.jsonl that leave out which rows are asked for.",
)
@click.option(
    "--database", "databases", multiple=True, metavar="NAME", help="Repeat for more. [default: all with rows]"
)
@click.option(
    "--sqlite",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Your own databases, each NAME.sqlite there. [default: InterCode's]",
)
@click.option("--show-schema", is_flag=True, help="For episodes that open with the schema: nobody looks.")
def command(
    n: int,
    seed: int,
    split: Any,
    fractions: tuple[float, float, float],
    mistakes: float,
    careless: float,
    out: Path | None,
    as_json: bool,
    databases: tuple[str, ...],
    sqlite: Path | None,
    show_schema: bool,
) -> None:
    """Make SQL questions with gold statements and expert trajectories, all checked by running them.

    Leaves OUT/{train,validation,test}.jsonl for --tasks, OUT/sft.jsonl for `rro train sft`,
    OUT/tasks.jsonl with all tasks, and OUT/manifest.json. Tasks over your own databases are played with
    -e databases=FOLDER.
    """
    from dataclasses import asdict

    from rro_sdk.envs.intercode_sql import InterCodeSQL, open_library
    from rro_sdk.synthesis.demonstrations import Script, demonstrate
    from rro_sdk.synthesis.sql import SynthesisSettings, audit, sqlite_library, synthesize
    from rro_sdk.synthesis.sql import careless as careless_turns

    began = time.monotonic()
    settings = SynthesisSettings(
        n=n,
        seed=seed,
        split=split,
        fractions=fractions,
        databases=databases,
        mistakes=mistakes,
        careless=careless,
        show_schema=show_schema,
    )
    target = out or Path("runs") / f"sql-{split}-{n}-{seed}"
    refuse_taken(target)
    library = sqlite_library(sqlite) if sqlite else open_library()
    made = synthesize(library, settings)
    env = InterCodeSQL(library=library, show_schema=show_schema)
    scripts = [Script(each.task, each.expert, careless_turns(each.gold, each.expert)) for each in made.tasks]
    shown = asyncio.run(demonstrate(env, scripts, settings))
    found = audit(made.tasks)
    manifest = {
        "what": "SQL tasks synthesised over a schema, with expert trajectories",
        "settings": asdict(settings),
        "databases_sha256": library.catalog.source_sha256,
        "thrown_away": made.thrown_away,
    }
    write(target, made.tasks, shown, found, manifest, as_json=as_json)
    if as_json:
        return
    shared = found.shared_databases if split == "database" else found.shared_questions
    click.echo(
        f"{target}: {found.tasks} tasks over {len(found.databases)} databases; "
        f"{levels_and_parts(found.hardness, found.splits)}"
    )
    click.echo(
        f"golds that run {found.tasks} of {found.tasks}, duplicate questions {found.duplicates}, {split}s "
        f"shared between splits {shared}, experts at 1.0 {len(shown)} of {found.tasks}, "
        f"{found.mistakes} with a correction, {time.monotonic() - began:.0f} s"
    )
