"""Real SGLang with requests in flight: reloads in every mode, and requests that are given up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from rro_sdk.inference.engines import ReloadMode
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from tests.integration.conftest import ServedModel

pytestmark = pytest.mark.integration

LIMIT_S = 120.0
"""Of anything here: two CPU cores, shared with whatever else runs."""


def request(text: str, max_tokens: int, n: int = 1) -> ChatRequest:
    """Greedy, so that whether a reply is a long one is the same in every run."""
    return ChatRequest(
        messages=(Message("user", text),), model="m", temperature=0.0, max_tokens=max_tokens, n=n
    )


@pytest.fixture
async def server(sglang_server: ServedModel) -> AsyncGenerator[Server, None]:
    async with Transport() as transport:
        yield Server(sglang_server.url, transport)


async def running(server: Server, count: int) -> None:
    """Until so many requests run, by the server's own account, and none waits."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            load = await server.loads()
            if (load.running, load.waiting) == (count, 0):
                return
            await asyncio.sleep(0.05)


async def some_running(server: Server) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not (await server.loads()).running:
            await asyncio.sleep(0.05)


async def test_reloads_with_requests_in_flight(
    sglang_server: ServedModel, smollm2: Path, server: Server
) -> None:
    """The same weights under other names: what is looked at is who made which token."""
    url = sglang_server.url
    try:
        (await reload_weights([url], smollm2, weight_version="first")).raise_for_failures()
        modes: tuple[ReloadMode, ...] = ("drain", "retract", "abort")
        before = "first"
        for mode in modes:
            async with Fleet([url], FleetSettings(concurrency=4)) as fleet:
                await fleet.check()
                asking = [
                    asyncio.create_task(
                        fleet.complete(request(f"Tell a long story about {number} dragons.", 96))
                    )
                    for number in range(4)
                ]
                await some_running(server)
                settings = ReloadSettings(mode=mode)
                report = await reload_weights([url], smollm2, settings, weight_version=mode, gate=fleet)
                report.raise_for_failures()
                after = await fleet.complete(request("And now?", 4))
                made_by = {completion.weight_versions for completion in await asyncio.gather(*asking)}
                old, new, both = (before,), (mode,), (before, mode)
                assert after.weight_versions == new
                if mode == "drain":
                    assert made_by == {old}, "what was given out before the reload is finished before it"
                elif mode == "retract":
                    assert both in made_by, "what ran goes on"
                    assert made_by <= {old, both, new}
                else:
                    assert new in made_by, "what was cut is drawn again"
                    assert made_by <= {old, new}
                assert (fleet.retries > 0) == (mode == "abort")
            before = mode
    finally:
        (await reload_weights([url], smollm2)).raise_for_failures()


@pytest.mark.parametrize("n", [1, 2])
async def test_a_request_that_is_given_up_ends_on_the_server(n: int, server: Server) -> None:
    asking = asyncio.create_task(server.complete(request("Tell a long story.", 2000, n), timeout_s=LIMIT_S))
    await running(server, n)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await running(server, 0)


async def test_a_request_that_takes_too_long_ends_on_the_server(server: Server) -> None:
    with pytest.raises(TimeoutError):
        await server.complete(request("Tell a long story.", 2000), timeout_s=1.0)
    await running(server, 0)


CLIENT = """
import asyncio, sys
from rro_sdk.inference.fleet import Fleet
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message

async def main():
    message = Message("user", "Tell a long story.")
    request = ChatRequest(messages=(message,), model="m", temperature=0.0, max_tokens=2000)
    async with Fleet([sys.argv[1]]) as fleet:
        await asyncio.gather(fleet.complete(request), fleet.complete(request))

asyncio.run(main())
"""


async def test_a_client_that_is_killed_leaves_nothing_running(server: Server) -> None:
    """Nobody aborts: SGLang looks every 4 s whether the client is still there."""
    with subprocess.Popen([sys.executable, "-c", CLIENT, server.url]) as client:  # noqa: ASYNC220 (milliseconds)
        try:
            await running(server, 2)
        finally:
            client.kill()
    await running(server, 0)
