"""What went wrong with a connection, and how long one is kept."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from rro_sdk.errors import ServerUnreachable
from rro_sdk.inference.transport import ServerLost, Transport
from servers.fake import FakeServer, FakeSettings, Fault

SGLANG_KEEPS_S = 5.0
"""How long SGLang keeps a connection that is idle, which is uvicorn's default."""

COMPLETION = b'{"messages": [{"role": "user", "content": "hi"}], "model": "m"}'


@pytest.mark.parametrize("kind", ["reset", "cut_body"])
async def test_a_connection_that_breaks_is_no_server_that_is_not_there(kind: Any) -> None:
    async with FakeServer(FakeSettings(faults={1: Fault(kind)})) as server, Transport() as transport:
        with pytest.raises(ServerLost, match="broke off") as caught:
            await transport.post(server.url, "/v1/chat/completions", COMPLETION, timeout_s=10.0)
        assert caught.value.url == server.url
    async with Transport() as transport:
        with pytest.raises(ServerUnreachable, match="is it running") as gone:
            await transport.post(server.url, "/v1/chat/completions", COMPLETION, timeout_s=10.0)
    assert not isinstance(gone.value, ServerLost)


async def test_no_connection_is_used_that_sglang_is_about_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []

    class Connector(aiohttp.TCPConnector):
        def __init__(self, *, keepalive_timeout: float, **settings: Any) -> None:
            made.append(keepalive_timeout)
            super().__init__(keepalive_timeout=keepalive_timeout, **settings)

    monkeypatch.setattr(aiohttp, "TCPConnector", Connector)
    async with Transport():
        (kept_s,) = made
    assert kept_s < SGLANG_KEEPS_S
