"""A method from the plain data that a run's header keeps of it."""

from __future__ import annotations

from typing import Any

from rro_sdk.errors import ConfigError
from rro_sdk.methods.base import Method
from rro_sdk.methods.fixed import FixedSize
from rro_sdk.methods.rising import RisingReward
from rro_sdk.methods.rules import Margin, Paper, Posterior, Strict

_METHODS: dict[str, type[Any]] = {kind.__name__: kind for kind in (FixedSize, RisingReward)}
_PARTS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Margin, Paper, Posterior, Strict)}

_DERIVED = ("name", "min_candidates")
"""Kept beside the settings for who reads the header; no settings themselves."""


def method_from(plain: dict[str, Any]) -> Method:
    """Make the method again that `settings_of` described.

    Raises:
        ConfigError: it is none of the SDK's own.
    """
    kind = _METHODS.get(plain.get("type", ""))
    if kind is None:
        raise ConfigError(
            f"the run's method {plain.get('type')!r} is none of the SDK's own;"
            " resume the run from the program that made it"
        )
    settings = {
        name: _part(value) for name, value in plain.items() if name != "type" and name not in _DERIVED
    }
    found: Method = kind(**settings)
    return found


def _part(value: Any) -> Any:
    if isinstance(value, dict) and value.get("type") in _PARTS:
        return _PARTS[value["type"]](**{name: each for name, each in value.items() if name != "type"})
    return value
