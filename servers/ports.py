"""Ports that are ours between choosing them and the server's listening, some 20 s later.

A reservation is a socket bound with SO_REUSEADDR and never listening. Linux then gives the port to no one
who asks for any free port, but lets the server, which binds with SO_REUSEADDR too, have it. Where another
takes it by number all the same, the server fails to bind and the start is tried again on another port.

Two of our own processes that are told the same port would both get it so, and the second could take the
first one's server for its own. A name in Linux's abstract socket namespace, which belongs to one process and
goes with it, keeps them apart.
"""

from __future__ import annotations

import errno
import socket
import sys
from types import TracebackType
from typing import Self

from rro_sdk.errors import ConfigError


class Reservation:
    """Holds one port of one address until closed."""

    def __init__(self, host: str, port: int | None) -> None:
        """Bind.

        Raises:
            ConfigError: the port is taken, or the host is no address of this machine.
        """
        family, address = _resolve(host, port or 0)
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self.port: int = self._socket.getsockname()[1]
            self._claim = _claim(self.port)
        except OSError as error:
            self._socket.close()
            if port is None:
                raise ConfigError(f"cannot listen on {host}: {error.strerror}") from error
            raise ConfigError(
                f"port {port} on {host} cannot be used ({error.strerror}); give another port or none"
            ) from error

    def close(self) -> None:
        """Let the port go. Safe to call twice."""
        self._socket.close()
        if self._claim is not None:
            self._claim.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def reserve(host: str, port: int | None, count: int) -> list[Reservation]:
    """Reserve `count` ports: `port` and those after it, or free ones. All of them or none.

    Raises:
        ConfigError: one is taken or out of range; it is named.
    """
    if port is not None and port + count - 1 > 65535:
        raise ConfigError(f"{count} servers from port {port} on would pass 65535; start lower")
    held: list[Reservation] = []
    try:
        for index in range(count):
            wanted = None if port is None else port + index
            held.append(Reservation(host, wanted))
    except ConfigError:
        for reservation in held:
            reservation.close()
        raise
    return held


def url_of(host: str, port: int) -> str:
    """The address at which this machine reaches the server: a wildcard host is reached over loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _claim(port: int) -> socket.socket | None:
    if not sys.platform.startswith("linux"):
        return None
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0rro-port-{port}")
    except OSError as error:
        name.close()
        raise OSError(errno.EADDRINUSE, "another server is being started on it") from error
    return name


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ConfigError(f"host {host} cannot be resolved; give an address of this machine") from error
    return family, (str(address[0]), port)
