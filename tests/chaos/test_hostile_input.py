"""Statements and replies that mean harm, or nothing: no crash, no write, no escape past a limit.

10,000 of either with `RRO_CHAOS=full`, as `make chaos` sets it; a fifth of them otherwise.
"""

from __future__ import annotations

import hashlib
import os
import random
import time

from rro_sdk.envs.intercode_sql.library import Library, open_library
from rro_sdk.envs.intercode_sql.metadata import Failure
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.envs.intercode_sql.sandbox import Limits
from rro_sdk.prompts import react
from tests.envs.intercode_sql.test_sandbox import ENDLESS, FORBIDDEN, MALFORMED

COUNT = 10_000 if os.environ.get("RRO_CHAOS") == "full" else 2_000
LIMITS = Limits(seconds=1.0, steps=100_000, rows=100, result_bytes=20_000)

PIECES = [
    *"()'\"`;,*.=<>-/\\\x00\n",
    "--", "/*", "*/", "%", "NULL", "0x41", "1e309", "9223372036854775808", "x'00'", "\ufeff", "\u202e",
    " UNION SELECT ", " FROM ", " WHERE 1=1", " INTO OUTFILE '/var/stolen'", "; DROP TABLE pets",
    "; ATTACH 'x' AS y",
    " PRAGMA ", "load_extension('x')", "(SELECT ", " RECURSIVE ", "zeroblob(1000000)", "CAST(", " COLLATE ",
    "@@version", "sqlite_master", "information_schema.tables", "pets", "PetID", "student", "has_pet",
]  # fmt: skip
HARMLESS = [
    "SELECT count(*) FROM pets WHERE weight > 10",
    "SELECT T1.fname FROM student AS T1 JOIN has_pet AS T2 ON T1.stuid = T2.stuid",
    "DESC pets",
    "SHOW TABLES",
]
SEEDS = [
    *FORBIDDEN,
    *ENDLESS,
    *(statement for statement in MALFORMED if len(statement) < 20_000),
]


def mutated(text: str, rng: random.Random) -> str:
    """A few random edits: pieces put in, cut out, doubled or exchanged with another statement's."""
    for _ in range(rng.randint(0, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(4):
            case 0:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[to:]
            case 2:
                text = text[:to] + text[at:to] + text[to:]
            case _:
                other = rng.choice(SEEDS)
                text = text[:at] + other[rng.randint(0, len(other)) :]
    return text[:50_000]


def contents(library: Library) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in library.folder.iterdir()
        if path.is_file()
    }


def test_statements_write_nothing_and_stay_within_their_limits() -> None:
    library, rng = open_library(), random.Random(0)
    before, refused, longest_s = contents(library), 0, 0.0
    with Runner(library, LIMITS) as runner:
        for _ in range(COUNT):
            statement = mutated(rng.choice(SEEDS if rng.random() < 0.7 else HARMLESS), rng)
            began = time.monotonic()
            result = runner.run("pets_1", statement)
            longest_s = max(longest_s, time.monotonic() - began)
            if isinstance(result, Failure):
                refused += 1
            else:
                assert len(result.rows) <= LIMITS.rows
                assert len(str(result.rows)) <= 10 * LIMITS.result_bytes
        alive = runner.run("pets_1", "SELECT count(*) FROM pets")
    assert not isinstance(alive, Failure)
    assert contents(library) == before
    assert 0 < refused < COUNT, "some do harm, and some are harmless"
    print(f"{COUNT} statements, {refused} refused, the longest took {longest_s:.2f} s")


def test_replies_are_read_or_refused_in_words() -> None:
    rng, refused = random.Random(0), 0
    words = [
        "Thought:",
        "Action:",
        "Observation:",
        "\n",
        "```sql",
        "```",
        "submit",
        "```\n",
        " ",
        "\x00",
        "\ud800",
        "🥖",
    ]
    for _ in range(COUNT):
        parts = rng.choices([*words, *PIECES, rng.choice(SEEDS)], k=rng.randint(0, 12))
        action = react.parse("".join(parts), rng.choice(["stop", "length"]))
        assert (action.command is None) == (action.error is not None)
        refused += action.command is None
    assert 0 < refused < COUNT
