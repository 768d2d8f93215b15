"""Agreement with 14,592 turns that the original environment scored on a real MySQL server."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from rro_sdk.envs.intercode_sql.commands import Statement, read
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import Rows
from rro_sdk.envs.intercode_sql.mysql_errors import PREFIX
from rro_sdk.envs.intercode_sql.reward import score
from rro_sdk.envs.intercode_sql.runner import Runner

BAR = 0.99

ROUNDING = 0.0051
"""The recordings of some models come from a version of the original that did not round the reward."""


class Turn(msgspec.Struct):
    action: str
    observation: str
    reward: float
    mariadb_reward: float | None = None
    agrees: bool | None = None


class Recording(msgspec.Struct):
    idx: int
    db: str
    model: str
    turns: list[Turn]


class Question(msgspec.Struct):
    idx: int
    db: str
    gold: str


def test_rewards_agree_turn_by_turn(spider_library: Library, data_folder: Path) -> None:
    lines = (data_folder / "sql" / "questions.jsonl").read_bytes().splitlines()
    golds = {each.idx: each.gold for each in (msgspec.json.decode(line, type=Question) for line in lines)}
    right: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    differs_from_mariadb_too = 0
    known: dict[tuple[str, str], Rows | None] = {}
    with Runner(spider_library) as runner:

        def run(database: str, command: str) -> Rows | None:
            key = (database, command)
            if key not in known:
                asked = read(command)
                assert isinstance(asked, Statement)
                result = runner.run(database, asked.text)
                known[key] = result if isinstance(result, Rows) else None
            return known[key]

        for line in (data_folder / "sql" / "recorded_turns.jsonl").read_bytes().splitlines():
            recording = msgspec.json.decode(line, type=Recording)
            gold = run(recording.db, golds[recording.idx])
            # The original scores against an empty result where its gold fails.
            wanted = (gold.rows if gold is not None else None) or ()
            for turn in recording.turns:
                if turn.agrees is None:
                    continue  # no statement reached the server
                result = run(recording.db, turn.action)
                ours = score(result.rows if result is not None else None, wanted)
                agrees = abs(ours - turn.reward) < ROUNDING
                turns[recording.model] += 1
                right[recording.model] += agrees
                differs_from_mariadb_too += not agrees and not turn.agrees
    assert turns.total() == 14_592
    agreement = {model: right[model] / turns[model] for model in turns}
    figures = f"{right.total() / turns.total():.4f} in all, {agreement}"
    print(f"agreement per turn: {figures}; of the rest MariaDB shares {differs_from_mariadb_too}")
    assert right.total() / turns.total() >= BAR, figures
    assert all(share >= BAR for share in agreement.values()), figures


def test_observations_read_like_the_originals(spider_library: Library, data_folder: Path) -> None:
    """Not a promise, since row order is the engine's own affair: a floor under how alike they look."""
    same = seen = 0
    shown: dict[tuple[str, str], str] = {}
    with Runner(spider_library) as runner:
        for line in (data_folder / "sql" / "recorded_turns.jsonl").read_bytes().splitlines()[::5]:
            recording = msgspec.json.decode(line, type=Recording)
            for turn in recording.turns:
                if turn.agrees is None:
                    continue
                key = (recording.db, turn.action)
                if key not in shown:
                    result = runner.run(*key)
                    if isinstance(result, Rows):
                        shown[key] = str(None if result.rows is None else list(result.rows))
                    else:
                        shown[key] = PREFIX + result.message
                # Some recordings print a column's type as bytes, and all are cut somewhere past 1,000.
                theirs = turn.observation.replace("b'", "'")[:1_000]
                seen += 1
                same += shown[key][: len(theirs)] == theirs
    assert same / seen >= 0.9
