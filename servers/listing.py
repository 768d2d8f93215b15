"""The list of servers that serve now, in a file: what `-s @FILE` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rro_sdk.errors import ConfigError


class Listing:
    """A file that always holds the whole list, older or newer.

    Args:
        path: the file; what is there already must be such a list.

    Raises:
        ConfigError: it cannot be written, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._written: bytes | None = None
        _refuse_other(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.write([])
        except OSError as error:
            raise ConfigError(f"cannot write the list of servers {path}: {error.strerror}") from error

    def write(self, servers: Sequence[Mapping[str, Any]]) -> None:
        """Put the list in place of the one before, where it differs.

        Raises:
            OSError: it cannot be written; the one before is still there.
        """
        content = json.dumps({"servers": list(servers)}, indent=1).encode() + b"\n"
        if content == self._written:
            return
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
        self._written = content

    def close(self) -> None:
        """Nothing serves any more."""
        with suppress(OSError):  # a list that cannot be emptied names servers that do not answer
            self.write([])


def _refuse_other(path: Path) -> None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"cannot read the list of servers {path}: {error.strerror}") from error
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("servers"), list):
        raise ConfigError(f"{path} is there and holds no list of servers; name another file for the list")
