"""What is secret among settings, so that none of it is written where it stays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rro_sdk.errors import ConfigError

MASK = "***"

_ENDINGS = ("password", "passwords", "passwd", "passphrase", "passphrases", "secret", "secrets", "api_keys")
_LAST_WORDS = ("key", "apikey", "apikeys", "pwd", "token")
"""How the name of a setting that holds a secret ends; `max_tokens` does not."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL = re.compile(r"://(\S*)")
_QUERY = re.compile(r"[?&]([\w.-]+)=[^&#]")
_WORDS = re.compile(r"""\s*+(?:[\w.-]++\s*+=\s*+(?:'[^']*+'|"[^"]*+"|[^\s;'"]*+)(?:[\s;]++|$))++""")
"""A connection string: names and values, and nothing else. It takes linear time, whatever the text is."""

_WORD = re.compile(r"([\w.-]+)\s*=")


def names_secret(name: str) -> bool:
    """Whether a setting of that name holds a secret: `api_key`, `accessToken`, but not `max_tokens`."""
    plain = _HUMP.sub("_", name).replace("-", "_").lower()
    return plain.endswith(_ENDINGS) or plain.rpartition("_")[2] in _LAST_WORDS


def holds_secret(text: str) -> bool:
    """Whether a value names a password: that of a URL, or of a setting such as password=..."""
    key, mark, value = text.partition("=")
    if mark and names_secret(key):
        return True
    credentials = (value or text).partition("://")[2].partition("/")[0].rpartition("@")[0]
    return ":" in credentials or any(map(names_secret, _named_in(text)))


def without_secrets(value: Any) -> Any:
    """Settings without secrets, as they may be kept.

    What is named as one is left out, and a URL loses its user and password. Another text that may hold one,
    such as a connection string, becomes `MASK`.
    """
    if isinstance(value, dict):
        kept = (
            (name, each)
            for name, each in value.items()
            if each is None or isinstance(each, bool) or not names_secret(str(name))
        )
        return {name: without_secrets(each) for name, each in kept}
    if isinstance(value, list | tuple):
        return [without_secrets(each) for each in value]
    if not isinstance(value, str) or not _may_hold_secret(value):
        return value
    scheme, _, rest = value.partition("://")
    place, slash, path = rest.partition("/")
    bare = f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"
    return MASK if _may_hold_secret(bare) else bare


def kept_options(options: Sequence[str]) -> dict[str, list[str]]:
    """Options of an environment, KEY=VALUE, as a run's header keeps them.

    Of one that may hold a secret the name alone is kept: its value would be another without it.
    """
    parts = [option.partition("=") for option in options]
    secret = [names_secret(key) or _may_hold_secret(value) for key, _, value in parts]
    return {
        "env_option": [option for option, hidden in zip(options, secret, strict=True) if not hidden],
        "env_option_secret": [key for (key, _, _), hidden in zip(parts, secret, strict=True) if hidden],
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


def _may_hold_secret(text: str) -> bool:
    """Whether there is a user in a URL, or something that is named as a secret.

    An "@" behind a colon counts wherever it stands, for passwords may have signs that a URL may not.
    """
    for found in _URL.finditer(text):
        place = re.split(r"[/?#]", found[1], maxsplit=1)[0]
        if "@" in place or (":" in place and "@" in found[1]):
            return True
    return any(map(names_secret, _named_in(text)))


def _named_in(text: str) -> Iterator[str]:
    """Names with a value in the query of a URL, or in a connection string."""
    for found in _URL.finditer(text):
        yield from _QUERY.findall(found[1])
    if _WORDS.fullmatch(text):
        yield from _WORD.findall(text)
