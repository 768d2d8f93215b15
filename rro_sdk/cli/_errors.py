"""What is said about a command line that cannot be right: one sentence, with the nearest name that exists."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.core import ParameterSource


class UnknownCommand(click.UsageError):
    """A command that there is not; its message is the sentence to print."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name that was probably meant; None where none is like it."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """ "no such KIND 'NAME'", with the nearest one."""
    like = nearest(name, known)
    return f"no such {kind} {name!r}" + (f"; did you mean {like}?" if like else "")


def sentence(error: click.UsageError) -> str:
    """One line for an error of click's, in the style of ours: what is wrong, then where to look."""
    if isinstance(error, UnknownCommand):
        return error.message
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error)
    said = " ".join(error.format_message().split()).rstrip(".")
    said = said[:1].lower() + said[1:]
    if (variable := _variable(error)) is not None:
        return f"{said} (from the environment variable {variable})"
    return said if error.ctx is None else f"{said}; {error.ctx.command_path} --help says more"


def _unknown_option(error: click.NoSuchOption) -> str:
    if error.ctx is None:
        return f"no such option {error.option_name}"
    context = error.ctx
    while context.parent is not None:
        context = context.parent
        if error.option_name in (name for each in context.command.params for name in each.opts):
            place = f"{context.command_path} {error.option_name} ... {error.ctx.info_name}"
            return f"{error.option_name} goes before the command: {place}"
    options = [name for each in error.ctx.command.params for name in (*each.opts, *each.secondary_opts)]
    like = nearest(error.option_name, options)
    hint = f"did you mean {like}?" if like else f"{error.ctx.command_path} --help lists them"
    return f"no such option {error.option_name}; {hint}"


def _variable(error: click.UsageError) -> str | None:
    """The environment variable that holds the value in question, where one does."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or error.param is None:
        return None
    if error.ctx.get_parameter_source(error.param.name or "") is not ParameterSource.ENVIRONMENT:
        return None
    return variable_of(error.param)


def variable_of(parameter: click.Parameter) -> str | None:
    """The environment variable that sets a parameter now; None where none of its variables is set."""
    import os

    names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ()
    return next((name for name in names if os.environ.get(name)), None)
