"""Which engine runs statements: SQLite in this process, or a MariaDB server."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Protocol, Self

from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.mariadb_client import Address, read_address
from rro_sdk.envs.intercode_sql.mariadb_server import running
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.runner import DEFAULT_LIMITS, NEVER, Runner
from rro_sdk.envs.intercode_sql.sandbox import Limits
from rro_sdk.errors import ConfigError


class StatementRunner(Protocol):
    """Runs statements one after the other. For one thread at a time."""

    def run(self, name: str, statement: str, cancelled: threading.Event = NEVER) -> Rows | Failure:
        """Run one MySQL statement on the database of that name; `cancelled` ends it when set."""
        ...

    def close(self) -> None:
        """Give back connections. Safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_runner(
    backend: str, library: Library, limits: Limits = DEFAULT_LIMITS, *, url: str | None = None
) -> StatementRunner:
    """A runner of that backend.

    Args:
        backend: "sqlite" or "mariadb".
        library: the databases, which also say what tables and columns there are.
        limits: what one statement may use.
        url: of the MariaDB server; by default the one that `rro env up mariadb` started.

    Raises:
        ConfigError: an unknown backend, a package that is missing, or no server.
    """
    if backend == "sqlite":
        return Runner(library, limits)
    if backend == "mariadb":
        from rro_sdk.envs.intercode_sql.mariadb import MariaDBRunner

        return MariaDBRunner(library, limits, address(url))
    raise ConfigError(f"backend must be 'sqlite' or 'mariadb', not {backend!r}")


def address(url: str | None) -> Address:
    """Where the MariaDB server is.

    Raises:
        ConfigError: a wrong URL, or none and no server of our own runs.
    """
    if url is not None:
        return read_address(url)
    found = running()
    if found is None:
        raise ConfigError(
            "no MariaDB runs here: start it with `rro env up mariadb`, or give its address as url"
        )
    return found.address
