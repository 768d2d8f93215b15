"""Ports for tests that need several in a row."""

from __future__ import annotations

from rro_sdk.errors import ConfigError
from servers.ports import Reservation, reserve


def neighbours() -> tuple[Reservation, Reservation]:
    """Two free ports in a row, below those that the system gives out: nobody takes one in the meantime."""
    for port in range(20_000, 32_000, 2):
        try:
            first, second = reserve("127.0.0.1", port, 2)
        except ConfigError:
            continue
        return first, second
    raise AssertionError("no two free ports in a row")
