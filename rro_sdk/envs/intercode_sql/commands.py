"""What an agent's command asks for: a statement, `submit` or `skip`. Pure; never raises."""

from __future__ import annotations

from dataclasses import dataclass

FENCE = "```"
MAX_CHARACTERS = 20_000
"""Longer commands are cut: no statement of that length is run (see `translate`)."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, without fence, brackets or characters that nothing can print."""

    text: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Ends the episode with the reward of the last result."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Gives up: ends the episode with reward 0."""


Command = Statement | Submit | Skip


def read(command: str) -> Command:
    """Read a command: raw SQL, SQL in a code fence or in `execute[...]`, `submit` or `skip`."""
    text = printable(command[:MAX_CHARACTERS]).strip()
    if FENCE in text:
        text = _in_fence(text)
    elif text[:8].lower() == "execute[":
        inside, bracket, _ = text[8:].rpartition("]")
        text = (inside if bracket else text[8:]).strip()
    word = text.rstrip(" ;.!").removesuffix("[]").lower()
    if word == "submit":
        return Submit()
    if word == "skip":
        return Skip()
    return Statement(text)


def printable(text: str) -> str:
    """The text with what no database or JSON can hold replaced: control characters, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(
        sign if (sign >= " " and not "\ud800" <= sign <= "\udfff") or sign in "\t\n\r" else "�"
        for sign in text
    )


def _in_fence(text: str) -> str:
    """What stands in the first code fence, without the name of the language; a fence may be left open."""
    inside = text.split(FENCE, 2)[1]
    first, line_end, rest = inside.partition("\n")
    if line_end and first.strip().lower() in ("sql", "mysql", ""):
        return rest.strip()
    head, _, tail = inside.strip().partition(" ")
    return tail.strip() if head.lower() in ("sql", "mysql") else inside.strip()
