"""Settings of commands from a TOML file. The commands' own options are the schema: there is no second one.

A file has a table for each command and a key for each option, named as on the command line::

    [sample]
    servers = ["http://127.0.0.1:30000"]
    max-tokens = 128
    env-option = { show_schema = true }

    [data.synth.sql]
    n = 500

What is read becomes click's `default_map`, so that environment variables and flags go before it. The whole
file is checked, whatever command is called: a key that would be passed over in silence helps nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from rro_sdk._secrets import holds_secret, names_secret
from rro_sdk.cli._errors import nearest
from rro_sdk.cli._groups import key_of
from rro_sdk.errors import ConfigError

NAME = "rro.toml"
"""What is read where no other file is named."""

KEY_VALUE = "KEY=VALUE"
"""Metavar of options that a table in the file can give, too."""


def file_of(given: str | None) -> Path | None:
    """The settings file: the one that was named, else `rro.toml` in the working directory, if it is there."""
    if given is not None:
        return Path(given)
    return Path(NAME) if Path(NAME).is_file() else None


def use(ctx: click.Context, given: str | None, *, lenient: bool = False) -> None:
    """Make the settings file, where there is one, the defaults of every command below a context.

    Args:
        ctx: the program's context.
        given: the file that was named.
        lenient: leave a file that is wrong aside, for a command that says so itself.

    Raises:
        ConfigError: as `read`.
    """
    if (path := file_of(given)) is None:
        return
    assert isinstance(ctx.command, click.Group)
    try:
        ctx.default_map = read(ctx.command, ctx, path)
    except ConfigError:
        if not lenient:
            raise


def read(root: click.Group, ctx: click.Context, path: Path) -> dict[str, Any]:
    """A settings file as click's `default_map` for the commands of `root`.

    Args:
        root: the commands, whose options are the schema.
        ctx: the context of `root`.
        path: the file.

    Raises:
        ConfigError: no such file, no TOML, an unknown command or key, a value of the wrong type, a secret.
    """
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the settings file {path} is not TOML: {error}") from None
    return _of_group(root, ctx, content, path)


def _of_group(
    group: click.Group, ctx: click.Context, content: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in content.items():
        if not isinstance(value, dict):
            inside = " ".join(ctx.command_path.split()[1:])
            where = (
                f"[{inside.replace(' ', '.')}] is a group of commands" if inside else "every key has a table"
            )
            raise ConfigError(f"{path}: {name!r} belongs to no command; {where}, such as [{_example(ctx)}]")
        command = group.get_command(ctx, name)
        if command is None:
            like = nearest(name, group.list_commands(ctx))
            said = f"did you mean [{_dotted(ctx, like)}]?" if like else "rro --help lists the commands"
            raise ConfigError(f"{path}: [{_dotted(ctx, name)}] is no command; {said}")
        below = click.Context(command, info_name=name, parent=ctx)
        if isinstance(command, click.Group):
            found[name] = _of_group(command, below, value, path)
        else:
            found[name] = _of_command(command, below, value, path)
    return found


def _of_command(
    command: click.Command, ctx: click.Context, content: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    table = f"[{'.'.join(ctx.command_path.split()[1:])}]"
    options = {key_of(each): each for each in options_of(command)}
    arguments = {each.name: each for each in command.params if isinstance(each, click.Argument)}
    found: dict[str, Any] = {}
    for written, value in content.items():
        key, where = written.replace("_", "-"), f"{path}: {table} {written}"
        if (option := options.get(key)) is None:
            if written.replace("-", "_") in arguments:
                raise ConfigError(f"{where} is an argument; it is given on the command line")
            like = nearest(key, options)
            said = f"did you mean {like}?" if like else f"{ctx.command_path} --help lists its options"
            raise ConfigError(f"{where} is no option of {ctx.command_path}; {said}")
        if option.name in found:
            raise ConfigError(f"{where} is there twice, with - and with _; keep one")
        if is_secret(option):
            variable = [*(option.envvar or ())][-1]  # that of all commands, where there is one
            raise ConfigError(f"{where} is a secret, and files are passed on; set {variable} in its place")
        found[option.name or key] = _value(option, value, ctx, where)
    return found


def options_of(command: click.Command) -> Iterator[click.Option]:
    """The options that can be set, which --help cannot."""
    for each in command.params:
        if isinstance(each, click.Option) and each.expose_value:
            yield each


def is_secret(option: click.Option) -> bool:
    return names_secret(key_of(option))


def _value(option: click.Option, value: Any, ctx: click.Context, where: str) -> Any:
    """A value of the file as click takes it from a `default_map`."""
    if option.multiple:
        if isinstance(value, dict) and option.metavar == KEY_VALUE:
            value = [f"{key}={_plain(each, f'{where}.{key}')}" for key, each in value.items()]
        elif not isinstance(value, list):
            value = [value]
        for each in value:
            _check(option, each, ctx, where)
    else:
        _check(option, value, ctx, where)
    if any(holds_secret(each) for each in _texts(value)):
        variable = next(iter(option.envvar or ()), "")
        raise ConfigError(f"{where} holds a password, and files are passed on; set {variable} in its place")
    try:
        option.type_cast_value(ctx, value)
    except click.BadParameter as error:
        raise ConfigError(f"{where}: {error.message.rstrip('.')}") from None
    return value


def _texts(value: Any) -> Iterable[str]:
    return (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))


def _plain(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"{where} must be text, a number, true or false, not {_called(value)}")


def _check(option: click.Option, value: Any, ctx: click.Context, where: str) -> None:
    """That TOML's type is the option's: click would make a number of text, and text of anything."""
    if isinstance(option.type, click.Tuple):
        wanted = option.type.types
        if not isinstance(value, list) or len(value) != len(wanted):
            found = f"a list of {len(value)}" if isinstance(value, list) else _called(value)
            raise ConfigError(f"{where} must be a list of {len(wanted)}, not {found}")
        for kind, each in zip(wanted, value, strict=True):
            _check_one(kind, each, where)
    else:
        _check_one(option.type, value, where)


def _check_one(kind: click.ParamType[Any], value: Any, where: str) -> None:
    if isinstance(kind, click.types.BoolParamType):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(kind, click.types.IntParamType):
        fits, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(kind, click.types.FloatParamType):
        fits, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    else:
        fits, wanted = isinstance(value, str), "text"
    if not fits:
        raise ConfigError(f"{where} must be {wanted}, not {_called(value)}")


def _called(value: Any) -> str:
    """The type of a value in words; the value itself may be a secret in the wrong place."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else "a date or time")


def _dotted(ctx: click.Context, name: str) -> str:
    return ".".join([*ctx.command_path.split()[1:], name])


def _example(ctx: click.Context) -> str:
    assert isinstance(ctx.command, click.Group)
    names = ctx.command.list_commands(ctx)
    return _dotted(ctx, "sample" if "sample" in names else names[0])
