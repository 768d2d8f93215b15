"""The two ways in which InterCode-SQL is run, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rro_sdk.envs.intercode_sql.metadata import STARTS
from rro_sdk.envs.intercode_sql.translate import QUERY_STARTS, WRITE_STARTS

Preset = Literal["plain", "react"]

NO_SQL = (
    "No SQL code was found in your last response.\n\n"
    "Your response should be a SQL command. Format your SQL command as follows:\n\n"
    "```SQL\nYour SQL code here\n```\n"
)
"""What InterCode's agents were told after a reply without a statement (in its published recordings)."""

_FIRST_WORD = re.compile(r"[\s(]*([A-Za-z]+)")
_SQL_STARTS = QUERY_STARTS | WRITE_STARTS | STARTS


@dataclass(frozen=True, slots=True)
class Protocol:
    """What an agent sees and what it is credited with, beside the rules of the game.

    Attributes:
        observation_limit: characters of an observation; the rest becomes "...". None shows all.
        limit_scores: an episode that is cut off scores its last result; else 0.
        help: the answer to a command that is no SQL, which then leaves the last result as it is. None has
            the server answer it: a syntax error, which is a last result without rows.
    """

    observation_limit: int | None
    limit_scores: bool
    help: str | None

    def shown(self, text: str) -> str:
        """An observation as the agent sees it."""
        if self.observation_limit is None or len(text) <= self.observation_limit:
            return text
        return text[: self.observation_limit] + "..."

    def refuses(self, statement: str) -> str | None:
        """The help for a command that is no SQL, where this protocol has one."""
        if self.help is None:
            return None
        found = _FIRST_WORD.match(statement)
        return self.help if found is not None and found[1].upper() not in _SQL_STARTS else None


PRESETS: dict[Preset, Protocol] = {
    "react": Protocol(observation_limit=350, limit_scores=False, help=NO_SQL),
    "plain": Protocol(observation_limit=None, limit_scores=True, help=None),
}
"""`react`: as the literature runs InterCode with ReAct agents. `plain`: InterCode's own game."""
