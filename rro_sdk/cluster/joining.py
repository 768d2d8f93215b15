"""A Ray cluster, joined for the length of a block.

Needs the extra `ray`; importing this module does not load it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rro_sdk.errors import ConfigError

CONNECT_S = 10.0
"""Ray tries an address for minutes; whether anything listens there is known at once."""


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Join a cluster, unless this process has joined one already; leave it at the end.

    Args:
        address: of the cluster (`host:port`, `auto` or `ray://...`); None starts one in this process.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("--engine ray needs Ray; pip install 'rro-sdk[ray]'") from None
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _refuse_silence(address)
    options: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, configure_logging=False, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        line = str(error).strip().partition("\n")[0]
        raise ConfigError(f"cannot join the Ray cluster at {address or 'local'}: {line}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise unless something listens there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`: Ray looks for it on this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            f"no Ray cluster answers at {address} ({why}); start one with: ray start --head"
        ) from None
