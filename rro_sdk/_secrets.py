"""What is secret among settings, so that none of it is written where it stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rro_sdk.errors import ConfigError

_LAST_WORDS = ("key", "password", "secret", "token")
"""Last word of the name of a setting that holds a secret; `max-tokens` does not end so."""


def names_secret(name: str) -> bool:
    return name.replace("-", "_").rpartition("_")[2].lower() in _LAST_WORDS


def holds_secret(text: str) -> bool:
    """Whether a value names a password: that of a URL, or of a setting such as password=..."""
    key, mark, value = text.partition("=")
    if mark and names_secret(key):
        return True
    credentials = (value or text).partition("://")[2].partition("/")[0].rpartition("@")[0]
    return ":" in credentials


def without_secrets(value: Any) -> Any:
    """Settings without texts that are named as secrets, and without user and password of any URL."""
    if isinstance(value, dict):
        kept = {
            name: each for name, each in value.items() if not (isinstance(each, str) and names_secret(name))
        }
        return {name: without_secrets(each) for name, each in kept.items()}
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    if not isinstance(value, str):
        return value
    scheme, mark, rest = value.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}"


def kept_options(options: Sequence[str]) -> dict[str, list[str]]:
    """Options of an environment, KEY=VALUE, as a run's header keeps them; of secrets the names alone."""
    parts = [option.partition("=") for option in options]
    return {
        "env_option": [f"{key}={without_secrets(value)}" for key, _, value in parts if not names_secret(key)],
        "env_option_secret": [key for key, _, _ in parts if names_secret(key)],
    }


def options_of_run(made: dict[str, Any], given: Sequence[str]) -> tuple[str, ...]:
    """Options of the environment of a run that was begun, and those that are given now.

    Args:
        made: of the run's header, with what `kept_options` left.
        given: KEY=VALUE; they come last, so that they hold.

    Raises:
        ConfigError: a secret of the run is not among those given.
    """
    now = {option.partition("=")[0].replace("-", "_") for option in given}
    for name in made.get("env_option_secret", ()):
        if name.replace("-", "_") not in now:
            raise ConfigError(f"the run does not keep the environment's {name}; give it again: -e {name}=...")
    return (*made["env_option"], *given)
