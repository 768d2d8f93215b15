"""Expert turns for supervised fine-tuning: made by replaying a gold statement, or read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from rro_sdk._json import decode
from rro_sdk.envs._data import data_folder
from rro_sdk.envs.intercode_sql.demonstrations import turn
from rro_sdk.envs.intercode_sql.env import InterCodeSQL
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.types import Action, Message, Step, Task


class Dialogue(msgspec.Struct, frozen=True):
    """A recorded expert episode: its task's id, its messages from the question on, its reward."""

    task_id: str
    messages: tuple[Message, ...]
    reward: float


async def expert_turns(env: InterCodeSQL, task: Task, *, explore: bool | None = None) -> tuple[Step, ...]:
    """Play a task with its gold statement and `submit`, and check that this scores 1.

    Args:
        env: where it is played; observations are this environment's.
        task: the task.
        explore: start with SHOW TABLES and DESC of the tables that the gold statement reads. By
            default where the schema is not shown.

    Returns:
        The turns, each with a short thought before its command; the last one is `submit`.

    Raises:
        DataError: the gold statement does not score 1 here.
    """
    script = expert_script(task, explore=explore if explore is not None else not env.settings.show_schema)
    episode = await env.start(task)
    steps = []
    try:
        for thought, command in script:
            observation = await episode.step(command)
            steps.append(Step(Action(turn(thought, command), command), observation))
    finally:
        await episode.close()
    if steps[-1].observation.outcome != 1.0:
        raise DataError(f"task {task.id!r}: its gold statement scores {steps[-1].observation.outcome}, not 1")
    return tuple(steps)


def expert_script(task: Task, *, explore: bool) -> list[tuple[str, str]]:
    """Thought and command of each turn of `expert_turns`.

    Raises:
        DataError: the gold statement cannot be read.
    """
    gold = " ".join(str(task.data.get("gold", "")).split())
    script: list[tuple[str, str]] = []
    if explore:
        script.append(("I look at which tables there are.", "SHOW TABLES"))
        script += [(f"I look at the columns of {name}.", f"DESC {name}") for name in _tables(gold)]
    script.append(("I can answer the question with one query.", gold))
    script.append(("The result answers the question.", "submit"))
    return script


def load_dialogues(path: Path | None = None) -> list[Dialogue]:
    """Read recorded ReAct episodes (`sql/expert_react.jsonl` of the data folder by default).

    Degenerate ones, whose task any empty result solves, are left out.

    Raises:
        ConfigError: there is no such file.
        DataError: a line is not what it should be: the message names file, line and field.
    """
    if path is None:
        data = data_folder()
        if data is None:
            raise ConfigError(
                "recorded expert episodes come with the data folder: set RRO_DATA, or give a file"
            )
        path = data / "sql" / "expert_react.jsonl"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read the expert episodes {path}: {error.strerror}") from error
    return [
        _dialogue(record)
        for number, line in enumerate(lines, 1)
        if line.strip() and not (record := _record(line, path, number)).degenerate
    ]


class _Turn(msgspec.Struct):
    speaker: Literal["human", "gpt"] = msgspec.field(name="from")
    value: str


class _Record(msgspec.Struct):
    id: int
    reward: float
    conversations: list[_Turn]
    degenerate: bool = False


def _record(line: bytes, path: Path, number: int) -> _Record:
    try:
        record = decode(line, _Record)
    except msgspec.DecodeError as error:
        raise DataError(f"{path}, line {number}: {error}") from error
    speakers = [each.speaker for each in record.conversations]
    if not speakers or speakers != ["human", "gpt"] * (len(speakers) // 2):
        raise DataError(
            f"{path}, line {number}: field `conversations` must alternate human, gpt and end with gpt"
        )
    return record


def _dialogue(record: _Record) -> Dialogue:
    messages = tuple(
        Message("user" if each.speaker == "human" else "assistant", each.value)
        for each in record.conversations
    )
    return Dialogue(f"spider-{record.id:04d}", messages, record.reward)


def _tables(statement: str) -> list[str]:
    """The tables that a statement reads, each once, in order, as it can name them."""
    try:
        tree = parse_one(statement, read="mysql")
    except SqlglotError as error:
        raise DataError("a gold statement cannot be read as MySQL") from error
    made = {each.alias.lower() for each in tree.find_all(exp.CTE)}
    names = dict.fromkeys(table.name.lower() for table in tree.find_all(exp.Table))
    return [exp.to_identifier(name).sql(dialect="mysql") for name in names if name not in made]
