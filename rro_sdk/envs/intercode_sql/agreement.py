"""How well rewards agree, turn by turn, with what the original environment recorded on a MySQL server."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from rro_sdk.envs._data import data_folder
from rro_sdk.envs.intercode_sql.catalog import Catalog
from rro_sdk.envs.intercode_sql.commands import Statement, read
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.mysql_errors import PREFIX
from rro_sdk.envs.intercode_sql.reward import score
from rro_sdk.errors import ConfigError, DataError

SAME_REWARD = 0.0051
"""Recordings of some models come from a version of the original that did not round the reward."""

NO_STATEMENT = ("Format your SQL command as follows", "No SQL code was found")
"""How the original's agents were told that their reply held no statement: the server never saw it."""

Run = Callable[[str, str], Rows | Failure]
"""Runs a statement on a database."""

Kind = Literal["rows here, error there", "error here, rows there", "order", "rows", "gold", "cut", "error"]
"""What of a disagreement can be seen in the turn itself.

`order`: the same rows in another order. `rows`: other rows. `gold`: the same result, so the gold's differs.
`cut`: the recorded observation was cut before a difference. `error`: both fail; the gold's result differs.
"""


_BYTES = re.compile(r"(?<=[(\[ ])b(?=')")
"""Some recordings print a column's type as bytes: b'int'."""


class Turn(msgspec.Struct, frozen=True):
    """One recorded turn; `agrees` is there when a statement was run again by who made the file."""

    action: str
    observation: str
    reward: float
    agrees: bool | None = None
    mariadb_reward: float | None = None


class Recording(msgspec.Struct, frozen=True):
    """One recorded episode. `gold` may stand in the file itself."""

    idx: int
    db: str
    turns: list[Turn]
    query: str = ""
    model: str = ""
    gold: str | None = None


class Disagreement(msgspec.Struct, frozen=True):
    """One turn that is rewarded differently here."""

    idx: int
    db: str
    model: str
    turn: int
    kind: Kind
    recorded: float
    here: float
    action: str
    mariadb: float | None = None


class Agreement(msgspec.Struct, frozen=True):
    """All turns compared.

    Attributes:
        turns: how many were.
        agreeing: how many got the recorded reward.
        by_model: (agreeing, turns) of each model.
        kinds: disagreements of each kind.
        disagreements: every one of them.
        without_gold: questions without a gold statement, judged by a statement that the original
            rewarded with 1 (turns of that statement are left out).
        left_out: turns that could not be judged: their question has no gold and no such statement.
    """

    turns: int
    agreeing: int
    by_model: dict[str, tuple[int, int]]
    kinds: dict[str, int]
    disagreements: tuple[Disagreement, ...]
    without_gold: int = 0
    left_out: int = 0

    @property
    def share(self) -> float:
        return self.agreeing / self.turns


def read_recordings(path: Path, catalog: Catalog) -> list[Recording]:
    """Read a file in the format of `sql/recorded_turns.jsonl`.

    Raises:
        ConfigError: it cannot be read.
        DataError: a line is not a recording: the message names file, line and field.
    """
    found = []
    for number, line in _lines(path):
        try:
            recording = msgspec.json.decode(line, type=Recording)
        except msgspec.DecodeError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        if catalog.database(recording.db) is None:
            raise DataError(
                f"{path}, line {number}: field `db` names {recording.db!r}, which is no database here"
            )
        found.append(recording)
    if not found:
        raise DataError(f"{path} holds no recordings")
    return found


class _Question(msgspec.Struct):
    idx: int
    db: str
    gold: str
    query: str = ""


Golds = dict[tuple[str, int, str], str]
"""Gold statements by database, index and question."""


def read_golds(questions: Path | None, turns: Path) -> Golds:
    """The gold statements of a questions file: the one named, else `questions.jsonl` beside the turns,
    else the data folder's; none where there is none.

    Raises:
        ConfigError: the named file cannot be read.
        DataError: a line is not a question.
    """
    data = data_folder()
    places = [turns.parent / "questions.jsonl", *([data / "sql" / "questions.jsonl"] if data else [])]
    files = [questions] if questions is not None else [place for place in places if place.is_file()]
    golds: Golds = {}
    for path in files:
        for number, line in _lines(path):
            try:
                row = msgspec.json.decode(line, type=_Question)
            except msgspec.DecodeError as error:
                raise DataError(f"{path}, line {number}: {error}") from error
            golds.setdefault((row.db, row.idx, _plain(row.query)), row.gold)
    return golds


def compare(
    recordings: Iterable[Recording], golds: Golds, run: Run, printed: Callable[[Rows | Failure], str]
) -> Agreement:
    """Run every recorded statement again and compare the rewards.

    Args:
        recordings: what was recorded.
        golds: gold statements.
        run: runs a statement here; each is run once.
        printed: the observation of a result.

    Raises:
        DataError: no turn of them can be judged.
    """
    held = list(recordings)
    executed = _executed(held)
    results: dict[tuple[str, str], Rows | Failure] = {}

    def result(database: str, command: str) -> Rows | Failure:
        key = (database, command)
        if key not in results:
            asked = read(command)
            results[key] = (
                run(database, asked.text) if isinstance(asked, Statement) else Failure("not a statement")
            )
        return results[key]

    found = dict(_all_golds(held, golds))
    stand_ins = _stand_ins([each for each in held if found[id(each)] is None], executed)
    right: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    left_out = 0
    disagreements: list[Disagreement] = []
    for recording in held:
        gold = found[id(recording)]
        known = gold is not None
        if gold is None:
            gold = stand_ins.get((recording.db, recording.idx))
        for place, turn in enumerate(recording.turns, 1):
            if not executed(turn):
                continue
            if gold is None or (not known and turn.action == gold):
                left_out += 1
                continue
            wanted, given = result(recording.db, gold), result(recording.db, turn.action)
            # The original scores against an empty result where its gold fails.
            here = score(_rows(given), _rows(wanted) or ())
            turns[recording.model] += 1
            if abs(here - turn.reward) < SAME_REWARD:
                right[recording.model] += 1
                continue
            disagreements.append(
                Disagreement(
                    idx=recording.idx,
                    db=recording.db,
                    model=recording.model,
                    turn=place,
                    kind=_kind(given, printed(given), turn.observation),
                    recorded=turn.reward,
                    here=here,
                    action=turn.action,
                    mariadb=turn.mariadb_reward,
                )
            )
    if not turns:
        raise DataError(
            f"none of {left_out} recorded turns can be judged: their questions have no gold statement;"
            " name a file that has them with --questions"
        )
    return Agreement(
        turns=turns.total(),
        agreeing=right.total(),
        by_model={model: (right[model], turns[model]) for model in turns},
        kinds=dict(Counter(each.kind for each in disagreements).most_common()),
        disagreements=tuple(disagreements),
        without_gold=len(stand_ins),
        left_out=left_out,
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            yield number, line


def _executed(recordings: list[Recording]) -> Callable[[Turn], bool]:
    """Whether a turn's statement reached the server: who made the file says so, else the observation."""
    told = any(turn.agrees is not None for each in recordings for turn in each.turns)
    if told:
        return lambda turn: turn.agrees is not None
    return lambda turn: not turn.observation.startswith(NO_STATEMENT)


def _all_golds(recordings: list[Recording], golds: Golds) -> Iterator[tuple[int, str | None]]:
    by_question = {(db, query): gold for (db, _, query), gold in golds.items() if query}
    by_index = {(db, index): gold for (db, index, _), gold in golds.items()}
    for each in recordings:
        asked = _plain(each.query)
        found = each.gold or golds.get((each.db, each.idx, asked)) or by_question.get((each.db, asked))
        if found is None and not asked:
            found = by_index.get((each.db, each.idx))
        yield id(each), found


def _stand_ins(recordings: list[Recording], executed: Callable[[Turn], bool]) -> dict[tuple[str, int], str]:
    """By database and question, the statement that the original most often rewarded with 1."""
    rewarded: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for each in recordings:
        for turn in each.turns:
            if executed(turn) and turn.reward == 1.0 and not turn.observation.startswith(PREFIX):
                rewarded[each.db, each.idx][turn.action] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in rewarded.items()}


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _rows(result: Rows | Failure) -> tuple[tuple[object, ...], ...] | None:
    return result.rows if isinstance(result, Rows) else None


def _kind(result: Rows | Failure, shown: str, recorded: str) -> Kind:
    failed = recorded.startswith(PREFIX)
    if isinstance(result, Failure):
        return "error" if failed else "error here, rows there"
    if failed:
        return "rows here, error there"
    theirs = _BYTES.sub("", recorded)
    if shown == theirs:
        return "gold"
    if not theirs.endswith("]"):
        return "cut" if shown.startswith(theirs) else _cut_kind(result, theirs)
    return "order" if _multiset(shown) == _multiset(theirs) else "rows"


def _cut_kind(result: Rows, theirs: str) -> Kind:
    """A cut observation: are its whole rows among ours?"""
    whole, comma, _ = theirs.rpartition("), (")
    seen = _multiset(whole + ")]") if comma else None
    ours = Counter(map(str, result.rows or ()))
    return "order" if seen is not None and not seen - ours else "rows"


def _multiset(text: str) -> Counter[str] | None:
    """The printed rows of an observation; None where it cannot be read back (dates, decimals)."""
    try:
        rows = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        # Decimal('1.0') and datetime.date(...) are no literals: compared as sorted words.
        return Counter(text.strip("[]").replace("), (", ")\n(").split("\n"))
    return Counter(map(str, rows)) if isinstance(rows, list) else None
