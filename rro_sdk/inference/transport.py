"""One HTTP round trip, its deadline and its failures as our errors. Knows no endpoint.

aiohttp carries the hot path because it costs a fifth of a millisecond of CPU a request or less, flat in
concurrency, where the stock clients cost 2 to 12 ms (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import aiohttp

from rro_sdk.errors import ContextExceeded, ServerRefused, ServerTimeout, ServerUnreachable

KEEPALIVE_S = 4.0
"""SGLang closes a connection that was idle for 5 s; a request on one that it closes meanwhile is lost."""

CONNECT_TIMEOUT_S = 10.0
"""A server that does not accept within this is as good as gone; loopback and data-centre links take ms."""


BACKGROUND_GRACE_S = 8.0
"""How long closing waits for aborts that are under way."""


class ServerLost(ServerUnreachable):
    """The connection broke under a request: the server may be gone, or well and working on it still."""


class Transport:
    """A pool of connections to any number of servers. Use as an async context manager."""

    def __init__(self, *, api_key: str | None = None) -> None:
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        # The fleet bounds what is in flight, server by server; a second bound here would queue unseen.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._background:
            await asyncio.wait(self._background, timeout=BACKGROUND_GRACE_S)
            for task in self._background:
                task.cancel()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, server: str, path: str, body: bytes, *, timeout_s: float) -> bytes:
        """POST a JSON body; the reply's body.

        Raises:
            ServerUnreachable: no connection; `ServerLost` where it broke.
            ServerTimeout: no complete reply within `timeout_s`.
            ServerRefused: any status but 2xx.
        """
        return await self.request("POST", server, path, body, timeout_s)

    async def get(self, server: str, path: str, *, timeout_s: float) -> bytes:
        """GET; raises as `post` does."""
        return await self.request("GET", server, path, None, timeout_s)

    def in_background(self, call: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a call that outlives its caller; leaving the `async with` block waits for it a short time."""
        task = asyncio.ensure_future(call)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        """One round trip. Another carrier, such as a simulated network, overrides this alone."""
        if self._session is None:
            raise RuntimeError("Transport is used outside its `async with` block")
        try:
            async with self._session.request(
                method, server + path, data=body, timeout=_timeout(timeout_s), allow_redirects=False
            ) as reply:
                content = await reply.read()
                if 200 <= reply.status < 300:
                    return content
                raise _refusal(server, path, reply.status, content, reply.headers)
        except aiohttp.ConnectionTimeoutError:
            raise ServerUnreachable(
                f"server {server} did not accept a connection within {CONNECT_TIMEOUT_S:g} s", url=server
            ) from None
        except asyncio.TimeoutError:  # noqa: UP041 (aiohttp's own class derives from this name)
            raise ServerTimeout(
                f"server {server} did not answer {path} within {timeout_s:g} s", url=server
            ) from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise ServerUnreachable(
                f"cannot reach server {server} ({type(error).__name__}); is it running?", url=server
            ) from None
        except aiohttp.ClientError as error:
            raise ServerLost(
                f"server {server} broke off the connection ({type(error).__name__})", url=server
            ) from None


@lru_cache(maxsize=64)
def _timeout(timeout_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s))


def _refusal(
    server: str, path: str, status: int, content: bytes, headers: Mapping[str, str]
) -> ServerRefused:
    hint = {
        401: "; give the right api_key",
        403: "; give the right api_key",
        404: "; is it an SGLang server?",
    }.get(status, "")
    # SGLang and vLLM both say so in these words alone.
    too_long = status == 400 and b"context length" in content
    kind = ContextExceeded if too_long else ServerRefused
    # The body may quote the prompt, so only its size is told.
    return kind(
        f"server {server} answered {path} with status {status} ({len(content)} bytes){hint}",
        url=server,
        status=status,
        retry_after=retry_after_seconds(headers.get("Retry-After")),
    )


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110: a number of seconds or a date); None if absent or odd."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
