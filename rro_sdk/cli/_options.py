"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rro_sdk.envs.base import Environment
from rro_sdk.envs.registry import suite
from rro_sdk.errors import ConfigError
from rro_sdk.types import Task

F = TypeVar("F", bound=Callable[..., Any])


def server_options(command: F) -> F:
    for option in (
        click.option(
            "--concurrency", type=int, help="Requests per server; by default its own queue decides."
        ),
        click.option(
            "--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="For aborts; better as RRO_ADMIN_API_KEY."
        ),
        click.option("--api-key", envvar="RRO_API_KEY", help="Bearer token; better as RRO_API_KEY."),
        click.option("--servers", "-s", multiple=True, required=True, metavar="URL", help="Repeat for more."),
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
        click.option("--env", "env_name", default="intercode-sql", show_default=True, metavar="NAME"),
    ):
        command = option(command)
    return command


def sampling_options(temperature: float) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in (
            click.option("--seed", type=int, default=0, show_default=True),
            click.option("--max-tokens", type=int, default=256, show_default=True, help="Of one reply."),
            click.option("--top-p", type=float, default=1.0, show_default=True),
            click.option("--temperature", type=float, default=temperature, show_default=True),
        ):
            command = option(command)
        return command

    return add


def environment(name: str, options: tuple[str, ...]) -> Environment:
    """The environment with KEY=VALUE settings; values are read as true, false, numbers or text."""
    settings: dict[str, Any] = {}
    for option in options:
        key, mark, value = option.partition("=")
        if not mark:
            raise ConfigError(f"--env-option {option!r} is not KEY=VALUE")
        settings[key.replace("-", "_")] = _value(value)
    try:
        return suite(name).make(**settings)
    except TypeError as error:
        raise ConfigError(f"environment {name} does not take these settings: {error}") from None


def tasks(name: str, file: str | None, limit: int | None) -> list[Task]:
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {limit}")
    found = suite(name).load_tasks(file)
    if not found:
        raise ConfigError(f"{file or name} holds no tasks; give a file with at least one")
    return found[:limit]


def without_credentials(option: str) -> str:
    """KEY=VALUE without the user and password of a URL: a run's header keeps no secret."""
    key, _, value = option.partition("=")
    scheme, mark, rest = value.partition("://")
    return f"{key}={scheme}://{rest.rpartition('@')[2]}" if mark and "@" in rest else option


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
