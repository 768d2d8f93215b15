"""A Ray cluster, joined for the length of a block.

Needs the extra `ray`; importing this module does not load it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rro_sdk.errors import ConfigError

CONNECT_S = 10.0
"""Ray tries an address for minutes; whether anything listens there is known at once."""

_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""How a client of HTTP/2 begins, such as Ray's."""

_SETTINGS, _TLS_ALERT = 4, 0x15
"""How its server begins: with a frame of this type, or with this where it wants TLS."""

_RAY, _PYTHON = (re.compile(rf"^\s*{name}: (\S+)$", re.MULTILINE) for name in ("Ray", "Python"))


@contextmanager
def joined(address: str | None) -> Iterator[None]:
    """Join a cluster, unless this process has joined one already; leave it at the end.

    Args:
        address: of the cluster (`host:port` or `auto`); None starts one in this process.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, or it has another Ray or Python.
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
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ConfigError(
            f"cannot join the Ray cluster at {address or 'local'}: {_why(str(error))}"
        ) from None
    except SystemExit:  # so Ray ends where it gives up
        raise ConfigError(
            f"what listens at {address} does not answer as a Ray cluster; give the address that"
            " ray start --head prints"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise unless something listens there."""
    if address.startswith("ray://"):
        raise ConfigError(
            f"{address} is for Ray's client, which cannot place servers or samplers: run this on a node of"
            " the cluster, with --address HOST:6379 or auto"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`: Ray looks for it on this machine
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S) as connection:
            said = _greeted(connection)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            f"no Ray cluster answers at {address} ({why}); start one with: ray start --head"
        ) from None
    if len(said) > 3 and said[3] != _SETTINGS and said[0] != _TLS_ALERT:
        raise ConfigError(
            f"something answers at {address}, and it is no Ray cluster; give the address that"
            " ray start --head prints, by default with port 6379"
        )


def _greeted(connection: socket.socket) -> bytes:
    """What a server says first to a client of Ray's kind; nothing where it says nothing now."""
    try:
        connection.sendall(_GREETING)
        return connection.recv(16)
    except OSError:  # it listens: what else it does, Ray finds out
        return b""


def _why(said: str) -> str:
    """Ray's reason in one line; of versions that differ, its table as a sentence."""
    rays, pythons = _RAY.findall(said), _PYTHON.findall(said)
    if len(rays) == len(pythons) == 2:
        return (
            f"it runs Ray {rays[0]} on Python {pythons[0]}, and this machine has Ray {rays[1]} on Python"
            f" {pythons[1]}; install the same on both"
        )
    return said.strip().partition("\n")[0]
