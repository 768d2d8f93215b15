"""The command lines of a shell block, and whether each could be given as it stands."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import click

from rro_sdk.cli import rro
from tests.conftest import REPOSITORY

BREAKS = re.compile(r"[;&|]+")
ELLIPSIS = "..."
SETTING = re.compile(r"\w+=.*")


@dataclass(frozen=True)
class Line:
    """One simple command.

    Attributes:
        words: program and arguments.
        elided: whether the page leaves out arguments (`...`).
    """

    words: tuple[str, ...]
    elided: bool


def lines_of(code: str) -> Iterator[Line]:
    """The simple commands of a block, without comments, variables before them and redirections."""
    for text in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for token in (*lexer, ";"):
            if not BREAKS.fullmatch(token):
                words.append(token)
                continue
            if words := _without_redirections(words):
                yield Line(tuple(word for word in words if word != ELLIPSIS), ELLIPSIS in words)
            words = []


def _without_redirections(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if re.fullmatch(r"[<>]+", word):
            next(rest, None)
        elif kept or not SETTING.fullmatch(word):
            kept.append(word)
    return kept


def parse_rro(line: Line) -> tuple[str, ...]:
    """The command's path; it was parsed with all its options by the command itself, and not run.

    Raises:
        click.UsageError: it would be refused.
    """
    command: click.Command = rro
    arguments, path = list(line.words[1:]), ["rro"]
    context: click.Context | None = None
    while isinstance(command, click.Group) and arguments:
        context = click.Context(command, info_name=path[-1], parent=context)
        _, arguments, _ = command.make_parser(context).parse_args(arguments)
        if not arguments:  # options of the group alone, such as --version
            return tuple(path[1:])
        name, found, arguments = command.resolve_command(context, arguments)
        assert name is not None and found is not None
        command = found
        path.append(name)
    try:
        command.make_context(path[-1], arguments, parent=context)
    except click.MissingParameter:
        if not line.elided:
            raise
    except click.exceptions.Exit:  # --help is answered while parsing
        pass
    return tuple(path[1:])


def _python(words: Sequence[str]) -> str | None:
    if words[:1] == ["-m"] and len(words) > 1:
        module = words[1]
        return None if importlib.util.find_spec(module) else f"there is no module {module}"
    if words and words[0].endswith(".py"):
        return None if (REPOSITORY / words[0]).is_file() else f"there is no file {words[0]}"
    return "python is called with neither a module nor a file of this repository"


def _make(words: Sequence[str]) -> str | None:
    targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    unknown = [word for word in words if not SETTING.fullmatch(word) and word not in targets]
    return f"the Makefile has no target {unknown[0]}" if unknown else None


def _pip(words: Sequence[str]) -> str | None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for word in words[1:]:
        own = re.fullmatch(r"rro-sdk\[(.+)\].*", word)
        for extra in own[1].split(",") if own else ():
            if extra not in project["optional-dependencies"]:
                return f"rro-sdk has no extra {extra}"
    return None if words[:1] == ["install"] else "pip is told something else than install"


def _pytest(words: Sequence[str]) -> str | None:
    files = [word.split("::")[0] for word in words if word.startswith("tests/")]
    gone = [file for file in files if not (REPOSITORY / file).exists()]
    return f"there is no {gone[0]}" if gone else None


def _anything(words: Sequence[str]) -> str | None:
    return None


PROGRAMS: dict[str, Callable[[list[str]], str | None]] = {
    "python": _python,
    "make": _make,
    "pip": _pip,
    "pytest": _pytest,
    "cd": _anything,
    ".": _anything,
    "export": _anything,
    "git": _anything,
    "curl": _anything,
    "head": _anything,
}
"""What is wrong with a program's arguments, or None. `rro` is parsed by itself."""


def fault_of(line: Line) -> str | None:
    """What is wrong with a command that is not `rro`; None where nothing is known to be."""
    program = line.words[0].rpartition("/")[2] if line.words[0] != "." else "."
    if program not in PROGRAMS:
        return f"no test knows {program}; say above the block why it is not run"
    return PROGRAMS[program](list(line.words[1:]))
