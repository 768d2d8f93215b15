"""Connections to a MariaDB or MySQL server, by PyMySQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from rro_sdk.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    from pymysql.connections import Connection

CONNECT_S = 5.0
SOCKET_PATH = 100
"""Longest path of a socket that every system can connect to."""


class Address(msgspec.Struct, frozen=True):
    """Where a server is and who asks; `socket` is used where its path is short enough."""

    host: str
    port: int
    user: str
    password: str = ""
    socket: str = ""

    def __str__(self) -> str:
        return f"mysql://{self.user}@{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Address({self})"


def read_address(url: str) -> Address:
    """Read `mysql://user:password@host:port`.

    Raises:
        ConfigError: it is not of that form; the message does not repeat it.
    """
    wanted = "a MariaDB address is mysql://user:password@host:port"
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
    except ValueError:
        raise ConfigError(wanted) from None
    if parts.scheme not in ("mysql", "mariadb") or not parts.hostname:
        raise ConfigError(wanted)
    return Address(parts.hostname, port, unquote(parts.username or "root"), unquote(parts.password or ""))


def pymysql() -> Any:
    """The driver's module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pymysql as module
    except ModuleNotFoundError as error:
        raise ConfigError("the MariaDB backend needs PyMySQL: pip install 'rro-sdk[mariadb]'") from error
    return module


def connect(
    address: Address, *, database: str | None = None, many: bool = False, read_s: float = 60.0
) -> Connection[Any]:
    """Open a connection.

    Args:
        address: of the server.
        database: to begin in.
        many: take several statements at once, for loading a dump.
        read_s: longest wait for an answer.

    Raises:
        ConfigError: the driver is not installed, or the server refuses the account.
        EnvironmentFault: the server does not answer.
    """
    driver = pymysql()
    places: dict[str, Any] = {"host": address.host, "port": address.port}
    if address.socket and len(address.socket) <= SOCKET_PATH:
        places["unix_socket"] = address.socket
    try:
        found: Connection[Any] = driver.connect(
            **places,
            user=address.user,
            password=address.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            local_infile=False,
            connect_timeout=CONNECT_S,
            read_timeout=read_s,
            write_timeout=read_s,
            client_flag=driver.constants.CLIENT.MULTI_STATEMENTS if many else 0,
        )
    except driver.err.MySQLError as error:
        code = error.args[0] if error.args else 0
        if code in (1044, 1045, 1049):
            raise ConfigError(f"{address} refuses this account or database (error {code})") from error
        raise EnvironmentFault(f"MariaDB at {address} does not answer (error {code})") from error
    return found
