"""Environments by name, for the command line and configuration files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rro_sdk.envs.base import Environment
from rro_sdk.errors import ConfigError
from rro_sdk.types import Task

BUILT_IN = {
    "agentgym": "rro_sdk.envs.adapters.agentgym:suite",
    "gymnasium": "rro_sdk.envs.adapters.gymnasium:suite",
    "intercode-sql": "rro_sdk.envs.intercode_sql.suite:suite",
    "scienceworld": "rro_sdk.envs.adapters.scienceworld:suite",
    "textworld": "rro_sdk.envs.adapters.textworld:suite",
    "verifiers": "rro_sdk.envs.adapters.verifiers:suite",
    "webshop": "rro_sdk.envs.webshop.suite:suite",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """An environment with its tasks.

    Attributes:
        make: builds the environment from options.
        load_tasks: reads tasks from a file, or the default set for None.
        tasks_need: settings of the environment that `load_tasks` is given too, by name, where they are set.
    """

    make: Callable[..., Environment]
    load_tasks: Callable[..., list[Task]]
    tasks_need: tuple[str, ...] = ()

    def tasks(self, file: str | None, settings: Mapping[str, Any]) -> list[Task]:
        """The tasks of a file, or the default set, for an environment that is made with these settings."""
        needed = {name: settings[name] for name in self.tasks_need if name in settings}
        return self.load_tasks(file, **needed)


def suite(name: str) -> Suite:
    """The suite of that name, or of your own as `package.module:attribute`.

    Raises:
        ConfigError: there is none.
    """
    target = BUILT_IN.get(name, name)
    module, _, attribute = target.partition(":")
    if not attribute or not all(part.isidentifier() for part in module.split(".")):
        known = ", ".join(sorted(BUILT_IN))
        raise ConfigError(f"no environment is called {name!r}; known: {known}, or package.module:attribute")
    try:
        found: Any = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if name in BUILT_IN:
            raise ConfigError(
                f"environment {name} needs the package {error.name}; pip install 'rro-sdk[envs]' may bring it"
            ) from error
        raise ConfigError(
            f"environment {name}: no module {error.name} is found; install it, or set PYTHONPATH to its"
            " folder"
        ) from error
    except AttributeError:
        raise ConfigError(f"module {module} has no {attribute!r}") from None
    if not isinstance(found, Suite):
        raise ConfigError(f"{target} is not a rro_sdk.envs.registry.Suite")
    return found


def make_environment(name: str, settings: Mapping[str, Any]) -> Environment:
    """The environment of that name.

    Raises:
        ConfigError: there is none, or it does not take these settings.
    """
    try:
        return suite(name).make(**settings)
    except TypeError as error:
        raise _not_taken(name, error) from None


def load_tasks(name: str, file: str | None, settings: Mapping[str, Any]) -> list[Task]:
    """The tasks of a file, or the environment's own, for one that is made with these settings.

    Raises:
        ConfigError: no such environment, it does not take these settings, or a file that cannot be read.
        DataError: the file holds no such tasks.
    """
    try:
        return suite(name).tasks(file, settings)
    except TypeError as error:
        raise _not_taken(name, error) from None


def _not_taken(name: str, error: TypeError) -> ConfigError:
    return ConfigError(f"environment {name} does not take these settings: {error}")
