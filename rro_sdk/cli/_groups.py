"""Groups of commands: imported when they are called, named when they are misspelt, set by the environment.

An option of a command can be given by an environment variable of its own, `RRO_COMMAND_OPTION`: that is
`RRO_SAMPLE_MAX_TOKENS` for `rro sample --max-tokens`. Its name follows the option that users see, where
click's `auto_envvar_prefix` would follow the name of a Python variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from rro_sdk.cli._errors import UnknownCommand, unknown

PREFIX = "RRO"


class Group(click.Group):
    """A group that names the nearest command, and gives every option its environment variable."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self.find(ctx, cmd_name)
        if found is not None and not isinstance(found, click.Group):
            _name_variables(found, ctx, cmd_name)
        return found

    def find(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not (ctx.resilient_parsing or name.startswith("-")) and self.get_command(ctx, name) is None:
            said = unknown("command", name, self.list_commands(ctx))
            hint = "" if said.endswith("?") else f"; {ctx.command_path} --help lists them"
            raise UnknownCommand(said + hint, ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group over modules: it imports a command when it is called, and none of them for `--help`.

    Args:
        lazy: by command name, `package.module:attribute` and the help line.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def find(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._lazy:
            return None
        place, line = self._lazy[name]
        module, _, attribute = place.partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        found.short_help = line
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._lazy.items()])


def path_of(ctx: click.Context) -> tuple[str, ...]:
    """The command names that lead to a context, without the program's."""
    names: list[str] = []
    current: click.Context | None = ctx
    while current is not None and current.parent is not None:
        names.append(current.info_name or "")
        current = current.parent
    return tuple(reversed(names))


def key_of(option: click.Option) -> str:
    """What a settings file calls an option: its long name, without dashes before it."""
    return next((name for name in option.opts if name.startswith("--")), option.opts[0]).lstrip("-")


def _name_variables(command: click.Command, ctx: click.Context, name: str) -> None:
    """Give every option the variable of its place in the tree, before those that it names itself."""
    for option in command.params:
        if isinstance(option, click.Option):
            words = (PREFIX, *path_of(ctx), name, key_of(option))
            own = "".join(letter if letter.isalnum() else "_" for letter in "_".join(words).upper())
            others = (option.envvar,) if isinstance(option.envvar, str) else tuple(option.envvar or ())
            option.envvar = [own, *(each for each in others if each != own)]
