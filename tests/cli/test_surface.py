"""One style: what holds for every command that there is, whoever wrote it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click
import pytest

from tests.cli.running import COMMANDS, EVERY, GROUPS, options, rro

WITHOUT_JSON = {
    "rro completion": "prints a script for a shell",
}

SAME_NAME_OTHER_TYPE = {
    "--model": "rro bench takes `tiny` too, which is no folder",
    "--resume": "rro train goes on in its folder, rro iterate in one that is named",
    "--seeds": "a list in rro compare, how many in rro bench",
    "--servers": "rro serve starts so many; elsewhere they are URLs",
    "--to": "a folder in rro data get, a format in rro export",
    "--turns": "recorded ones in rro env check, how many in rro plan",
}

SAME_LETTER_OTHER_OPTION = {"-m": "--rollouts, and --methods of rro compare, which has no --rollouts"}

LINE = 66
"""Characters of a help line beside the longest name, in a terminal of 80 columns."""

every = pytest.mark.parametrize("name", EVERY)
commands = pytest.mark.parametrize("name", COMMANDS)


@every
def test_it_has_help_and_so_has_each_option(name: str) -> None:
    path, ctx = EVERY[name]
    assert ctx.command.help, f"{name} has no help"
    line = ctx.command.short_help or ""
    assert not path or 0 < len(line) < LINE, f"{name} has no line for the list of commands, or a long one"
    for option in options(ctx):
        assert option.help, f"{name} {option.opts[0]} has no help"
        assert option.help.endswith((".", "]")), f"{name} {option.opts[0]}: no sentence: {option.help}"
    assert rro(*path, "--help").returncode == 0


@commands
def test_it_prints_its_result_as_json_or_says_why_not(name: str) -> None:
    found = [each for each in options(COMMANDS[name][1]) if "--json" in each.opts]
    assert bool(found) != (name in WITHOUT_JSON)
    assert all(each.is_flag for each in found)


@every
def test_an_unknown_option_is_bad_input_in_one_line(name: str) -> None:
    done = rro(*EVERY[name][0], "--no-such-option")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no such option --no-such-option")
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


@commands
def test_a_misspelt_option_gets_the_nearest(name: str) -> None:
    path, ctx = COMMANDS[name]
    longs = [each for option in options(ctx) for each in option.opts if each.startswith("--")]
    if longs:
        longest = max(longs, key=len)
        said = rro(*path, longest[:-2] + longest[-1]).stderr
        assert said.endswith(f"; did you mean {longest}?\n")


@pytest.mark.parametrize("name", GROUPS)
def test_a_misspelt_command_gets_the_nearest(name: str) -> None:
    path, ctx = GROUPS[name]
    assert isinstance(ctx.command, click.Group)
    if name == "rro env check":  # any other name is that of an environment
        assert rro(*path, "webshopp").returncode == 2
        return
    for command in ctx.command.list_commands(ctx):
        done = rro(*path, command + command[-1])
        assert done.returncode == 2
        said = f"error: no such command {command + command[-1]!r}; did you mean {command}?\n"
        assert done.stderr == said
    assert "--help lists them" in rro(*path, "zzzzzzzz").stderr


def test_an_option_of_the_program_after_a_command_is_told_its_place() -> None:
    assert (
        "--config goes before the command: rro --config ... report" in rro("report", "--config", "x").stderr
    )


def test_commands_are_listed_by_name_and_fit_a_terminal() -> None:
    listed = rro("--help").stdout.partition("Commands:\n")[2].splitlines()
    names = [line.split()[0] for line in listed]
    assert names == sorted(names)
    assert all(line.startswith("  ") and line[2] != " " for line in listed), "a line is broken in two"


def test_one_name_has_one_type_and_one_letter() -> None:
    kinds: dict[str, set[Any]] = defaultdict(set)
    letters: dict[str, set[str]] = defaultdict(set)
    for _, ctx in EVERY.values():
        for option in options(ctx):
            long = next(each for each in option.opts if each.startswith("--"))
            kinds[long].add((kind(option), option.is_flag, option.multiple))
            for short in (each for each in option.opts if not each.startswith("--")):
                letters[short].add(long)
    assert {name for name, found in kinds.items() if len(found) > 1} == {*SAME_NAME_OTHER_TYPE}
    assert {name for name, found in letters.items() if len(found) > 1} == {*SAME_LETTER_OTHER_OPTION}


def kind(option: click.Option) -> str:
    """A type by what a user writes: a file is a file, whether it must exist or not."""
    if option.type.name in ("directory", "file", "path") or option.metavar in ("FILE", "FOLDER"):
        return "path"
    return option.type.name.removesuffix(" range")
