"""One command of `rro` in this process, and every command that there is."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import click

from rro_sdk.cli import main
from rro_sdk.cli import rro as program


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def rro(*arguments: str) -> Done:
    """The exit code that a shell would see, and what was printed."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Done(code, out.getvalue(), err.getvalue())


def every() -> Iterator[tuple[tuple[str, ...], click.Context]]:
    """Each group and command, with the words that call it and a context of its own."""
    yield from _below((), click.Context(program, info_name="rro"))


def _below(path: tuple[str, ...], ctx: click.Context) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    yield path, ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None, f"rro {' '.join(path)} lists {name} and does not have it"
            yield from _below((*path, name), click.Context(command, info_name=name, parent=ctx))


EVERY = {" ".join(("rro", *path)): (path, ctx) for path, ctx in every()}
GROUPS = {name: each for name, each in EVERY.items() if isinstance(each[1].command, click.Group)}
COMMANDS = {name: each for name, each in EVERY.items() if name not in GROUPS}


def options(ctx: click.Context) -> list[click.Option]:
    return [each for each in ctx.command.params if isinstance(each, click.Option)]
