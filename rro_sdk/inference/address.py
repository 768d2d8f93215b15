"""Server addresses: checked once, and free of credentials wherever they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from rro_sdk.errors import ConfigError


def normalise(url: str) -> str:
    """`scheme://host:port` without a trailing slash or `/v1`.

    Raises:
        ConfigError: not an http(s) URL, or one with credentials in it (they would reach logs;
            give `api_key` instead).
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ConfigError("a server URL has a port that is not a number; write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        # What stands before a colon is a scheme only if "://" follows; it may be a user or a key otherwise.
        known = url.strip().lower().startswith(f"{parts.scheme}://")
        shown = f"{parts.scheme}://..." if parts.scheme and known else "without a scheme"
        raise ConfigError(f"a server URL must be http://HOST:PORT or https://HOST:PORT, not {shown}")
    if parts.username or parts.password:
        raise ConfigError(
            f"the URL of server {parts.hostname} holds credentials; give them as api_key instead"
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"the URL of server {parts.hostname} has a query or fragment; write http://HOST:PORT"
        )
    if port == 0:
        raise ConfigError(f"the URL of server {parts.hostname} has port 0, at which nothing listens")
    if port == {"http": 80, "https": 443}[parts.scheme]:
        port = None  # so that a server given with and without it is one and the same
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}"


def normalise_all(urls: Sequence[str]) -> tuple[str, ...]:
    """Every URL, normalised.

    Raises:
        ConfigError: none given, one given twice, or one that `normalise` refuses.
    """
    if isinstance(urls, str):
        raise ConfigError("servers must be a list of URLs, not one string")
    found = tuple(normalise(url) for url in urls)
    if not found:
        raise ConfigError("no server given; give at least one URL such as http://127.0.0.1:30000")
    for url in found:
        if found.count(url) > 1:
            raise ConfigError(f"server {url} is given twice")
    return found
