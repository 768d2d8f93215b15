"""Where numbers go, and what happens when one such place fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rro_sdk.errors import MetricsError


class Metrics(Protocol):
    """A place that numbers go to. Called from one thread."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take numbers by name; `step` never falls.

        Raises:
            MetricsError, OSError: they cannot be taken.
        """
        ...

    def close(self) -> None:
        """Hand over what was taken, and end. Safe to call twice.

        Raises:
            MetricsError, OSError: it cannot be handed over.
        """
        ...


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


class Told:
    """Several sinks as one. One that fails is left out from then on: no run ends over its metrics.

    Args:
        sinks: told in this order; closed by whoever made them.
        warn: is told of a sink that is left out, once.
    """

    def __init__(self, sinks: Sequence[Metrics], warn: Callable[[str], None] = _warn) -> None:
        self._sinks = list(sinks)
        self._warn = warn

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def add(self, sinks: Sequence[Metrics]) -> None:
        """Tell these too from now on."""
        self._sinks.extend(sinks)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Tell all of them."""
        for sink in tuple(self._sinks):
            try:
                sink.log(values, step)
            except (MetricsError, OSError) as error:
                self._sinks.remove(sink)
                self._warn(f"no more metrics go to {type(sink).__name__}: {error}")
