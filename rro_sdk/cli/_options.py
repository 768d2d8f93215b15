"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from rro_sdk.errors import ConfigError

if TYPE_CHECKING:
    from rro_sdk.envs.base import Environment
    from rro_sdk.types import Task

F = TypeVar("F", bound=Callable[..., Any])


def _environments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from rro_sdk.envs.registry import BUILT_IN

    return [name for name in BUILT_IN if name.startswith(incomplete)]


def _methods(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from rro_sdk.methods.named import METHODS

    return [name for name in METHODS if name.startswith(incomplete)]


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")

quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")

env_name_option = click.option(
    "--env",
    "env_name",
    default="intercode-sql",
    show_default=True,
    metavar="NAME",
    shell_complete=_environments,
    help="Environment, or your own as package.module:attribute.",
)

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto is the GPU, where there is one.",
)

seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Of every draw.")


def with_whole_paths(
    ctx: click.Context, parameter: click.Parameter, servers: tuple[str, ...]
) -> tuple[str, ...]:
    """Each `@FILE` with the file's whole path: a sampler on another node has another working directory."""
    return tuple(f"@{Path(each[1:]).absolute()}" if each.startswith("@") else each for each in servers)


def server_options(command: F) -> F:
    for option in (
        click.option(
            "--concurrency", type=int, help="Requests per server; by default its own queue decides."
        ),
        click.option(
            "--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="For aborts; better as RRO_ADMIN_API_KEY."
        ),
        click.option("--api-key", envvar="RRO_API_KEY", help="Bearer token; better as RRO_API_KEY."),
        click.option(
            "--servers",
            "-s",
            multiple=True,
            required=True,
            metavar="URL",
            callback=with_whole_paths,
            help="Repeat for more; @FILE for those that rro serve --urls FILE lists.",
        ),
    ):
        command = option(command)
    return command


def task_options(command: F) -> F:
    for option in (
        click.option("--limit", type=int, help="Take the first so many tasks."),
        click.option(
            "--tasks", "tasks_file", metavar="FILE", help="Tasks; the environment's own by default."
        ),
        click.option(
            "--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="Setting of the environment."
        ),
        env_name_option,
    ):
        command = option(command)
    return command


def method_options(command: F) -> F:
    """Which method, and the settings that several of them have; what is not given is the method's own."""
    for option in (
        click.option(
            "--method-option",
            "-o",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any other setting of the method, such as first=5.",
        ),
        click.option("--prefix", metavar="PREFIX", help="policy (the default) or chosen."),
        click.option("--on-first-rise", metavar="WHAT", help="skip (the default), second or prefix_action."),
        click.option("--rule", metavar="RULE", help="paper (default), strict, margin(D) or posterior(P)."),
        click.option("--max-candidates", type=int, help="Per step, at most; by default 5, of widening 20."),
        click.option("--rollouts", "-m", type=int, help="Per process reward; by default 5."),
        click.option(
            "--method",
            "method_name",
            default="rro",
            show_default=True,
            metavar="NAME",
            shell_complete=_methods,
            help="rro (or rising), fixed, widening, se, best-of-n, mcts, eto, ipr, few-shot or expert;"
            " docs/methods.md has their settings.",
        ),
    ):
        command = option(command)
    return command


def method_settings(named: dict[str, Any], more: tuple[str, ...]) -> dict[str, Any]:
    """The settings that options of their own name, with those given as KEY=VALUE."""
    found = dict(named)
    for option, value in key_values(more, "--method-option").items():
        if found.get(option) is not None:
            raise ConfigError(f"--method-option {option} is given by --{option.replace('_', '-')} already")
        found[option] = value
    return found


def sampling_options(temperature: float) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in (
            seed_option,
            click.option("--max-tokens", type=int, default=256, show_default=True, help="Of one reply."),
            click.option(
                "--top-p", type=float, default=1.0, show_default=True, help="Of the sampling, at most 1."
            ),
            click.option(
                "--temperature",
                type=float,
                default=temperature,
                show_default=True,
                help="Of the sampling; 0 is greedy.",
            ),
        ):
            command = option(command)
        return command

    return add


def chosen_of(*names: str) -> str | None:
    """Of options that exclude each other the one that was given; None where that is none, or several.

    The command line goes before the environment, and that before the settings file.
    """
    ranks = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
    source = click.get_current_context().get_parameter_source
    for rank in ranks:
        if given := [name for name in names if source(name) is rank]:
            return given[0] if len(given) == 1 else None
    return None


def environment(name: str, options: tuple[str, ...]) -> Environment:
    """The environment with KEY=VALUE settings; values are read as true, false, numbers or text."""
    from rro_sdk.envs.registry import make_environment

    return make_environment(name, key_values(options, "--env-option"))


def tasks(name: str, file: str | None, limit: int | None, options: tuple[str, ...] = ()) -> list[Task]:
    """The tasks of a file, or the environment's own; `options` are those that the environment takes."""
    from rro_sdk.envs.registry import load_tasks

    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {limit}")
    found = load_tasks(name, file, key_values(options, "--env-option"))
    if not found:
        raise ConfigError(f"{file or name} holds no tasks; give a file with at least one")
    return found[:limit]


def key_values(options: tuple[str, ...], flag: str) -> dict[str, Any]:
    from rro_sdk._plain import plain_value

    settings: dict[str, Any] = {}
    for option in options:
        key, mark, value = option.partition("=")
        if not mark:
            raise ConfigError(f"{flag} {option!r} is not KEY=VALUE")
        settings[key.replace("-", "_")] = plain_value(value)
    return settings
