"""What is secret among settings, so that none of it is written where it stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rro_sdk.errors import ConfigError

_NAME = r"(?i:[\w-]*(?:password|passwd|passphrase|secret)|(?:[\w-]+[_-])?(?:key|apikey|pwd|token))"
"""The name of a setting that holds a secret; `max-tokens` is none."""

_NAMED = re.compile(rf"([\s?&;,]|^){_NAME}=[^\s&;,#]*")
"""A secret by its name in a longer text: in a URL's query, or among the words of a connection string."""

_PORT = re.compile(r"\[[^]]*\](?::\d*)?|[^:]*(?::\d*)?")
"""A host with its port, and no user."""


def names_secret(name: str) -> bool:
    return re.fullmatch(_NAME, name) is not None


def holds_secret(text: str) -> bool:
    """Whether a value names a password: that of a URL, or of a setting such as password=..."""
    key, mark, value = text.partition("=")
    if mark and names_secret(key):
        return True
    within = value or text
    return ":" in _user_of(within) or _NAMED.search(text) is not None


def without_secrets(value: Any) -> Any:
    """Settings without secrets.

    Left out are texts that are named so, user and password of any URL, and what the query of a URL or a
    connection string names so.
    """
    if isinstance(value, dict):
        kept = {
            name: each for name, each in value.items() if not (isinstance(each, str) and names_secret(name))
        }
        return {name: without_secrets(each) for name, each in kept.items()}
    if isinstance(value, list):
        return [without_secrets(each) for each in value]
    if not isinstance(value, str):
        return value
    if user := _user_of(value):
        value = value.replace(f"://{user}@", "://", 1)
    return _NAMED.sub(r"\1", value)


def _user_of(url: str) -> str:
    """User and password of a URL, or nothing; also where the password has a slash, which no URL may have."""
    rest = re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0]
    place = rest.partition("/")[0]
    if "@" not in place and _PORT.fullmatch(place):
        return ""
    return (place if "@" in place else rest).rpartition("@")[0]


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
