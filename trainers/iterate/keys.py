"""Keys of a configuration and what is wrong with their values, said with the key as it stands in the file."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rro_sdk.errors import ConfigError
from trainers.settings import TrainSettings

S = TypeVar("S", bound=TrainSettings)
T = TypeVar("T")

_OURS = ("data", "model", "out", "reference", "resume")
"""Settings of a trainer that the loop gives itself."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<place>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>[^`]*)`$")


def trainer_settings(kind: type[S], where: str, table: dict[str, Any], seed: int, **given: Any) -> S:
    """The trainer's settings from a table.

    Args:
        kind: of the trainer.
        where: the table's name.
        table: its keys and values.
        seed: where the table has none.
        given: what the loop gives itself.

    Raises:
        ConfigError: a key is unknown, or a value of the wrong kind or range; names it.
    """
    kinds = typing.get_type_hints(kind)
    known = [field.name for field in fields(kind) if field.name not in _OURS]
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"key {where}.{name} is unknown; [{where}] takes {', '.join(known)}")
        try:
            values[name] = msgspec.convert(value, kinds[name], dec_hook=_path)
        except msgspec.ValidationError as error:
            raise ConfigError(f"key {where}.{name}: {_lower(str(error))}") from error
    # A training that saves its state goes on from there; the others begin again.
    return within(where, lambda: kind(**{"seed": seed, **values, **given, "resume": True}))


def within(table: str, make: Callable[[], T]) -> T:
    """What is made of a table's values; the error of whoever refuses one names the table."""
    try:
        return make()
    except ConfigError as error:
        raise ConfigError(f"[{table}]: {error}") from None


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def named(said: str) -> str:
    """msgspec's message with the key as it stands in the file."""
    found = _AT.match(said)
    assert found is not None  # everything matches
    key = (found["place"] or "$").removeprefix("$").removeprefix(".").removeprefix("key in ")
    field = _FIELD.match(found["what"])
    if field is None:
        return f"key {key}: {_lower(found['what'])}" if key else _lower(found["what"])
    name = f"{key}.{field['name']}" if key else field["name"]
    return f"key {name} is {'unknown' if 'unknown' in field['what'] else 'missing'}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
