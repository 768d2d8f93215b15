"""Servers that are listed in a file: `@FILE` in place of a URL.

`rro serve --urls FILE` keeps such a file; one URL a line does as well. A fleet that was given one follows it:
servers that are listed later join, those that are gone leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.inference.address import normalise_all

MARK = "@"


class _Entry(msgspec.Struct):
    url: str


class _File(msgspec.Struct):
    servers: list[_Entry]


def resolved(servers: Sequence[str]) -> tuple[str, ...]:
    """Every URL, normalised, with those that files list in the files' place.

    Raises:
        ConfigError: a file that cannot be read or lists no server, or what `normalise_all` refuses.
    """
    if isinstance(servers, str):
        return normalise_all(servers)  # which says what is wrong with that
    found: list[str] = []
    for server in servers:
        if not server.startswith(MARK):
            found.append(server)
            continue
        path = Path(server.removeprefix(MARK))
        urls = _read(path)
        if not urls:
            raise ConfigError(f"{path} lists no server; wait until some serve, or give their URLs")
        found += urls
    return normalise_all(found)


class Listed:
    """Servers as they were given, and whether what they come to has changed.

    Args:
        servers: URLs and `@FILE`s.

    Attributes:
        urls: what they came to at the last look.

    Raises:
        ConfigError: see `resolved`.
    """

    def __init__(self, servers: Sequence[str]) -> None:
        self._given = servers
        self.urls = resolved(servers)

    @property
    def may_change(self) -> bool:
        """Whether there is a file among them."""
        return any(server.startswith(MARK) for server in self._given)

    def look(self) -> bool:
        """Read the files again; whether `urls` changed.

        A list that cannot be read, is torn or empty changes nothing: nobody is better served by no server.
        """
        try:
            now = resolved(self._given)
        except ConfigError:
            return False
        changed = set(now) != set(self.urls)
        if changed:
            self.urls = now
        return changed


def _read(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the list of servers {path}: {error.strerror}") from error
    if content.lstrip().startswith(b"{"):
        try:
            return [entry.url for entry in msgspec.json.decode(content, type=_File).servers]
        except msgspec.DecodeError:
            raise ConfigError(f"{path} is no list of servers such as rro serve --urls writes") from None
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no list of servers: write one URL a line") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
