"""`rro env check intercode-sql`: rewards against recorded turns, or the conformance kit without a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rro_sdk.cli._options import json_option
from rro_sdk.cli.env.check_conformance import TASKS, run

if TYPE_CHECKING:
    from rro_sdk.envs.intercode_sql.agreement import Agreement

BARS = {"sqlite": 0.99, "mariadb": 0.995}

SHOWN = 160
"""Characters of a statement in the list of disagreements; `--json` has them whole."""


@click.command("intercode-sql", short_help="rewards against recorded turns")
@click.option(
    "--turns",
    "turns_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Recorded turns (format of sql/recorded_turns.jsonl); without it the conformance kit is run.",
)
@click.option(
    "--questions",
    "questions_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Gold statements; by default questions.jsonl beside the turns, else the data folder's.",
)
@click.option(
    "--backend",
    type=click.Choice(sorted(BARS)),
    default="sqlite",
    show_default=True,
    help="Of the statements.",
)
@click.option("--url", metavar="URL", help="A running MariaDB; by default that of `rro env up mariadb`.")
@click.option("--limit", type=int, default=TASKS, show_default=True, help="Tasks of the conformance kit.")
@json_option
def command(
    turns_file: Path | None,
    questions_file: Path | None,
    backend: str,
    url: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Run recorded statements again and compare each turn's reward with the original's.

    Every disagreement is listed with what differs. Exits with 1 where fewer than 99.0 % of the turns agree
    on SQLite, or 99.5 % on MariaDB.
    """
    if turns_file is None:
        options = (f"backend={backend}", *([f"url={url}"] if url else []))
        run("intercode-sql", env_option=options, limit=limit, as_json=as_json)
        return
    from rro_sdk.envs.intercode_sql.agreement import compare, read_golds, read_recordings
    from rro_sdk.envs.intercode_sql.backends import open_runner
    from rro_sdk.envs.intercode_sql.env import printed
    from rro_sdk.envs.intercode_sql.library import open_library

    library = open_library()
    recordings = read_recordings(turns_file, library.catalog)
    golds = read_golds(questions_file, turns_file)
    with open_runner(backend, library, url=url) as runner:
        found = compare(recordings, golds, runner.run, printed)
    ok = found.share >= BARS[backend]
    figures = _figures(found, backend)
    if as_json:
        import msgspec

        fields = {
            "ok": ok,
            "figures": figures,
            "backend": backend,
            "bar": BARS[backend],
            "share": found.share,
        }
        click.echo(msgspec.json.encode({**fields, **msgspec.to_builtins(found)}).decode())
    else:
        click.echo(_listed(found))
        click.echo(figures)
    if not ok:
        raise SystemExit(1)


def _listed(found: Agreement) -> str:
    lines = []
    for each in found.disagreements:
        asked = " ".join(each.action.split())
        lines.append(
            f"{each.kind}: question {each.idx} ({each.db}), {each.model} turn {each.turn}: recorded"
            f" {each.recorded:.4g}, here {each.here:.4g}: {asked[:SHOWN]}{'...' * (len(asked) > SHOWN)}"
        )
    lines += [f"{count} x {kind}" for kind, count in found.kinds.items()]
    lines += [
        f"{model or 'no model'}: {100 * right / turns:.2f} % of {turns} turns"
        for model, (right, turns) in found.by_model.items()
    ]
    if found.without_gold or found.left_out:
        lines.append(
            f"{found.without_gold} questions without a gold statement were judged by one that the original"
            f" rewarded with 1; {found.left_out} turns could not be judged"
        )
    return "\n".join(lines)


def _figures(found: Agreement, backend: str) -> str:
    unsure = f", {found.without_gold} questions without their gold" if found.without_gold else ""
    return (
        f"intercode-sql on {backend}: {100 * found.share:.2f} % of {found.turns} turns agree"
        f" ({len(found.disagreements)} do not; bar {100 * BARS[backend]:.1f} %{unsure})"
    )
