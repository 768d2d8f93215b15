"""`rro explain`: how a preference pair came about."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from rro_sdk.cli._options import json_option

if TYPE_CHECKING:
    from rro_sdk.journal import Journal
    from rro_sdk.types import StepRecord


@click.command("explain", short_help="how a preference pair came about")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("pair_id", metavar="PAIR")
@click.option(
    "--replay", "replayed", is_flag=True, help="Bring the environment to the step, and show the way."
)
@click.option(
    "--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="In place of the run's own, for --replay."
)
@json_option
def command(run_dir: Path, pair_id: str, replayed: bool, env_option: tuple[str, ...], as_json: bool) -> None:
    """Print the prefix, each candidate with its rollouts, the verdict, servers, weight version and seeds.

    PAIR is an id of the run's pairs.jsonl, such as 17/2: task 17, step 2. With --replay the environment of
    the run takes the turns before that step again, and what it answers is compared with what was recorded.
    """
    from rro_sdk.journal import Journal
    from rro_sdk.provenance import explain, text_of

    with Journal.open(run_dir) as journal:
        story = explain(journal, pair_id)
        replay = asyncio.run(_replay(journal, story.record, env_option)) if replayed else None
        replayable = journal.header().command is not None
    if as_json:
        plain = msgspec.to_builtins(story)
        click.echo(json.dumps(plain if replay is None else {**plain, "replay": msgspec.to_builtins(replay)}))
    elif replay is None:
        click.echo(text_of(story))
        if replayable:
            click.echo(f"replay the environment up to it: rro explain {run_dir} {pair_id} --replay")
    else:
        click.echo(replay.opening)
        for number, turn in enumerate(replay.turns, 1):
            click.echo(f"[{number}] {turn.command}")
            click.echo(turn.observation)
        click.echo(f"replayed {len(replay.turns)} turns; every observation is the recorded one")


class _Turn(msgspec.Struct, frozen=True):
    command: str
    observation: str


class _Replay(msgspec.Struct, frozen=True):
    opening: str
    turns: list[_Turn]


async def _replay(journal: Journal, record: StepRecord, given: tuple[str, ...]) -> _Replay:
    from rro_sdk._secrets import options_of_run
    from rro_sdk.cli._options import environment, tasks
    from rro_sdk.errors import ConfigError
    from rro_sdk.provenance import replay

    made = journal.header().command
    if made is None:
        raise ConfigError("this run was made by a program, whose environment the command line does not know")
    options = options_of_run(made, given)
    found = [task for task in tasks(made["env"], made["tasks"], None, options) if task.id == record.task_id]
    if not found:
        where = made["tasks"] or made["env"]
        raise ConfigError(f"task {record.task_id} is not among the tasks of {where} any more")
    async with environment(made["env"], options) as env:
        episode, turns = await replay(env, found[0], journal, record)
        try:
            said = [turn.action.command or turn.action.error or "" for turn in turns]
            again = [_Turn(command, turn.observation.text) for command, turn in zip(said, turns, strict=True)]
            return _Replay(episode.opening, again)
        finally:
            await episode.close()
