"""`rro config show`: what the options of commands are set to, and where each value came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from rro_sdk._secrets import holds_secret
from rro_sdk.cli._errors import nearest, unknown, variable_of
from rro_sdk.cli._groups import PREFIX, Group, key_of, path_of
from rro_sdk.cli._options import json_option
from rro_sdk.cli._settings import file_of, is_secret, options_of
from rro_sdk.errors import ConfigError

MASK = "***"


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of one command.

    Attributes:
        key: its name in a settings file.
        value: as plain data; secrets are masked.
        source: what set it.
        where: the file, or the environment variable; None for a default.
        masked: whether the value is hidden.
    """

    key: str
    value: Any
    source: Literal["file", "environment", "default"]
    where: str | None
    masked: bool = False


@click.group("config", cls=Group, short_help="settings, and where each came from")
def command() -> None:
    """Settings of commands: from rro.toml or --config FILE, then RRO_COMMAND_OPTION, then flags."""


@command.command("show", short_help="what is set, and where")
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.option("--all", "everything", is_flag=True, help="Defaults too, which are left out without a COMMAND.")
@json_option
@click.pass_context
def show(ctx: click.Context, names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Print what the options of COMMAND are set to, or of all commands, and where each value came from.

    The settings file is checked as a whole. What is printed can be used as one; secrets are masked.
    COMMAND may have several words: rro config show data synth sql.
    """
    root = ctx.find_root()
    start, found = _resolve(root, names)
    wanted = {
        path: list(_settings(each, root, everything=everything or bool(names)))
        for path, each in leaves(start, found)
    }
    file = file_of(root.params["config"])
    strays = stray_variables(root)
    if as_json:
        tables = {
            ".".join(path): {each.key: {"value": each.value, "source": each.source, "where": each.where}
                             for each in settings}
            for path, settings in wanted.items() if settings
        }  # fmt: skip
        plain = {"file": None if file is None else str(file), "commands": tables, "unknown_variables": strays}
        click.echo(json.dumps(plain))
        return
    click.echo(f"# settings file: {file or 'none; rro.toml would be read here'}")
    for path, settings in wanted.items():
        if settings:
            click.echo(f"\n[{'.'.join(path)}]")
            click.echo("\n".join(_line(each) for each in settings))
    if not any(wanted.values()):
        click.echo("# nothing is set: all commands have their defaults; --all prints them")
    for name, like in strays.items():
        click.echo(f"{name} sets no option" + (f"; did you mean {like}?" if like else ""), err=True)


def leaves(ctx: click.Context, command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    """Every command at or under one, with its place and a context of its own.

    Args:
        ctx: of `command`.
        command: a command, or a group of some.
    """
    if not isinstance(command, click.Group):
        yield path_of(ctx), ctx
        return
    for name in command.list_commands(ctx):
        if (below := command.get_command(ctx, name)) is not None:
            yield from leaves(click.Context(below, info_name=name, parent=ctx), below)


def stray_variables(root: click.Context) -> dict[str, str | None]:
    """Environment variables that look like settings and are none, each with the one that was probably meant.

    Those that begin with RRO_ and the name of a command are looked at; RRO_DATA and the like are others'.
    """
    import os

    known = {
        name
        for _, ctx in leaves(root, root.command)
        for option in ctx.command.params
        for name in ([option.envvar] if isinstance(option.envvar, str) else option.envvar or ())
    }
    assert isinstance(root.command, click.Group)
    begins = tuple(f"{PREFIX}_{name.upper()}_" for name in root.command.list_commands(root))
    strays = sorted(name for name in os.environ if name.startswith(begins) and name not in known)
    return {name: nearest(name, known) for name in strays}


def _resolve(root: click.Context, names: tuple[str, ...]) -> tuple[click.Context, click.Command]:
    ctx, command = root, root.command
    for name in names:
        if not isinstance(command, click.Group):
            raise ConfigError(f"{ctx.command_path} has no commands of its own, so no {name!r}")
        below = command.get_command(ctx, name)
        if below is None:
            raise ConfigError(unknown("command", name, command.list_commands(ctx)))
        ctx, command = click.Context(below, info_name=name, parent=ctx), below
    return ctx, command


def _settings(ctx: click.Context, root: click.Context, *, everything: bool) -> Iterator[Setting]:
    assert ctx.parent is not None
    read = ctx.command.make_context(ctx.info_name, [], parent=ctx.parent, resilient_parsing=True)
    file = file_of(root.params["config"])
    for option in options_of(ctx.command):
        source = read.get_parameter_source(option.name or "")
        value = read.params.get(option.name or "")
        if source is ParameterSource.ENVIRONMENT:
            # Again, for what does not fit was passed over above.
            option.handle_parse_result(ctx, {}, [])
            yield _setting(option, value, "environment", variable_of(option))
        elif source is ParameterSource.DEFAULT_MAP:
            yield _setting(option, value, "file", str(file))
        elif everything:
            yield _setting(option, value, "default", None)


def _setting(
    option: click.Option, value: Any, source: Literal["file", "environment", "default"], where: str | None
) -> Setting:
    plain = _plain(value)
    texts = [plain] if isinstance(plain, str) else plain if isinstance(plain, list) else []
    if plain is not None and (is_secret(option) or any(holds_secret(str(each)) for each in texts)):
        return Setting(key_of(option), MASK, source, where, masked=True)
    return Setting(key_of(option), plain, source, where)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _line(setting: Setting) -> str:
    """A line of TOML; what a file cannot say is a comment."""
    source = {"file": setting.where, "environment": f"environment: {setting.where}", "default": "default"}
    if setting.masked or setting.value is None:
        said = "not set" if setting.value is None else setting.value
        return f"# {setting.key} = {said}  # {source[setting.source]}"
    return f"{setting.key} = {json.dumps(setting.value, ensure_ascii=False)}  # {source[setting.source]}"
