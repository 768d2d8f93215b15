"""One server: what is given up ends there, and what it says of itself. Gateways: who is behind them."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from rro_sdk.errors import BadReply, ServerError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.gateway import all_workers, workers_of
from rro_sdk.inference.limit import Load
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message, Wasted
from servers.fake import FakeServer, FakeSettings, Latency

SLOW = Latency(per_request_s=60.0)


class Recorder(Transport):
    """A transport that remembers what it was asked for."""

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__(api_key=api_key)
        self.asked: list[tuple[str, str, Any]] = []

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        self.asked.append((server, path, json.loads(body) if body else None))
        return await super().request(method, server, path, body, timeout_s)

    def aborted(self) -> list[tuple[str, str]]:
        return [(server, body["rid"]) for server, path, body in self.asked if path == "/abort_request"]


def request(**changes: Any) -> ChatRequest:
    fields: dict[str, Any] = {"messages": (Message("user", "hi"),), "model": "m", "temperature": 1.0}
    return ChatRequest(**{**fields, **changes})


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("n", [1, 3])
async def test_a_request_that_is_cancelled_ends_on_the_server(n: int) -> None:
    async with FakeServer(FakeSettings(latency=SLOW)) as fake, Recorder() as transport:
        server = Server(fake.url, transport)
        asking = asyncio.create_task(server.complete(request(rid="mine", n=n), timeout_s=60))
        await until(lambda: fake.counters.running == n)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: fake.counters.running == fake.counters.waiting == 0)
        await until(lambda: transport.aborted() == [(fake.url, "mine")])


async def test_a_request_that_takes_too_long_ends_on_the_server() -> None:
    async with FakeServer(FakeSettings(latency=SLOW)) as fake, Recorder() as transport:
        server = Server(fake.url, transport)
        with pytest.raises(ServerTimeout):
            await server.complete(request(rid="mine"), timeout_s=0.2)
        await until(lambda: fake.counters.running == fake.counters.waiting == 0)
        await until(lambda: transport.aborted() == [(fake.url, "mine")])


async def test_aborts_go_to_every_worker_with_the_admin_key() -> None:
    keys = {"api_key": "user-key", "admin_api_key": "admin-key"}
    async with (
        FakeServer(FakeSettings(**keys)) as one,
        FakeServer(FakeSettings(**keys)) as two,
        Recorder(api_key="user-key") as user,
        Recorder(api_key="admin-key") as admin,
    ):
        server = Server("http://gateway", user, control=admin)
        server.control_urls = (one.url, two.url)
        await server.abort("mine")
        assert sorted(admin.aborted()) == sorted([(one.url, "mine"), (two.url, "mine")])
        assert user.aborted() == []
        assert one.counters.rejected == two.counters.rejected == 0


CLIENT = """
import asyncio, sys
from rro_sdk.inference.fleet import Fleet
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message

async def main():
    async with Fleet([sys.argv[1]]) as fleet:
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                message = Message("user", str(number))
                request = ChatRequest(messages=(message,), model="m", temperature=1.0, n=1 + number % 2)
                group.create_task(fleet.complete(request))

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_client_that_ends_leaves_nothing_running(number: signal.Signals) -> None:
    async with FakeServer(FakeSettings(latency=SLOW)) as fake:
        with subprocess.Popen(  # noqa: ASYNC220 (a few milliseconds)
            [sys.executable, "-c", CLIENT, fake.url], stderr=subprocess.DEVNULL
        ) as client:
            try:
                await until(lambda: fake.counters.running == 6, limit_s=60)
                client.send_signal(number)
                await until(lambda: fake.counters.running == fake.counters.waiting == 0, limit_s=30)
                assert await asyncio.to_thread(client.wait, 30) != 0
            finally:
                client.kill()


async def test_a_completion_that_the_server_aborts_is_no_data_and_its_tokens_are_booked() -> None:
    latency = Latency(per_token_s=0.05)
    async with FakeServer(FakeSettings(latency=latency)) as fake, Transport() as transport:
        wasted: list[Wasted] = []
        server = Server(fake.url, transport, note=wasted.append)
        asking = asyncio.create_task(server.complete(request(rid="mine"), timeout_s=60))
        await until(lambda: fake.counters.running == 1)
        await server.abort("mine")
        with pytest.raises(ServerRefused, match="aborted") as caught:
            await asking
        assert (caught.value.status, caught.value.retry_after) == (409, 0.0)
        (waste,) = wasted
        assert (waste.kind, waste.known) == ("reload", True), "nobody here gave it up"
        assert waste.usage.prompt_tokens > 0
        assert waste.usage.completion_tokens == fake.counters.completion_tokens


async def test_the_workers_of_a_gateway_are_one_server() -> None:
    async with (
        FakeServer(FakeSettings(model_path="/m", latency=SLOW, max_running_requests=8)) as one,
        FakeServer(FakeSettings(model_path="/m", max_running_requests=4)) as two,
        Transport() as transport,
    ):
        server = Server("http://gateway", transport)
        server.control_urls = (one.url, two.url)
        assert (await server.model_info()).model_path == "/m"
        asking = asyncio.create_task(Server(one.url, transport).complete(request(n=2), timeout_s=60))
        await until(lambda: one.counters.running == 2)
        load = await server.loads()
        assert load == Load(running=2, waiting=0, kv_used=load.kv_used, slots=12)
        assert 0 < load.kv_used < 1  # of the fuller one
        asking.cancel()


async def test_a_gateway_serves_without_a_worker_that_is_gone() -> None:
    async with FakeServer() as dead:
        gone = dead.url
    async with (
        FakeServer(FakeSettings(model_path="/m", max_running_requests=4)) as well,
        answering({"workers": [{"url": gone}, {"url": well.url}]}) as gateway,
        Transport() as transport,
    ):
        server = Server(gateway, transport)
        assert await server.find_workers() == (gone, well.url)
        assert (await server.model_info()).model_path == "/m"
        assert (await server.loads()).slots == 4


async def test_a_gateway_whose_workers_were_replaced_is_asked_for_the_new_ones() -> None:
    async with FakeServer() as dead:
        gone = dead.url
    async with (
        FakeServer(FakeSettings(model_path="/m")) as well,
        answering({"workers": [{"url": well.url}]}) as gateway,
        Transport() as transport,
    ):
        server = Server(gateway, transport)
        server.control_urls = (gone,)
        assert (await server.model_info()).model_path == "/m"
        assert server.control_urls == (well.url,)


async def test_a_gateway_without_a_worker_that_answers_and_one_that_is_gone_are_unreachable() -> None:
    async with FakeServer() as dead:
        gone = dead.url
    async with (
        FakeServer() as well,
        answering({"workers": [{"url": gone}]}) as gateway,
        Transport() as transport,
    ):
        for url, workers in ((gateway, (gone,)), (gone, (f"{gone}/worker", well.url))):
            server = Server(url, transport)
            server.control_urls = workers
            with pytest.raises(ServerUnreachable):
                await server.model_info()


async def test_workers_that_differ_are_named() -> None:
    async with (
        FakeServer(FakeSettings(weight_version="v1")) as one,
        FakeServer(FakeSettings(weight_version="v2")) as two,
        Transport() as transport,
    ):
        server = Server("http://gateway", transport)
        server.control_urls = (one.url, two.url)
        with pytest.raises(ServerError, match="differ") as caught:
            await server.model_info()
    assert f"{one.url} serves fake version v1, {two.url} serves fake version v2" in str(caught.value)


@asynccontextmanager
async def answering(answer: object) -> AsyncGenerator[str, None]:
    """A server that says this to everything."""

    async def handle(request: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_plain_server_has_no_workers() -> None:
    async with (
        FakeServer() as fake,
        FakeServer(FakeSettings(api_key="k", admin_api_key="a")) as keyed,
        Transport() as transport,
    ):
        assert await workers_of(fake.url, transport) == ()
        assert await workers_of(keyed.url, transport) == ()
        assert await all_workers([fake.url], transport) == {fake.url: (fake.url,)}
        server = Server(fake.url, transport)
        assert await server.find_workers() == ()
        assert server.control_urls == (fake.url,)


async def test_data_parallel_ranks_share_one_control_address() -> None:
    listed = [{"url": f"http://127.0.0.1:{port}@{rank}"} for port in (1, 2) for rank in (0, 1)]
    async with answering({"workers": listed, "total": 4}) as url, Transport() as transport:
        server = Server(url, transport)
        assert await server.find_workers() == ("http://127.0.0.1:1", "http://127.0.0.1:2")
        assert server.control_urls == ("http://127.0.0.1:1", "http://127.0.0.1:2")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"workers": []}, "no workers"),
        ({"nodes": []}, "unexpected shape"),
        ({"loads": []}, "unexpected shape"),
    ],
)
async def test_a_gateway_that_does_not_say_who_works_for_it(answer: object, says: str) -> None:
    async with answering(answer) as url, Transport() as transport:
        with pytest.raises(BadReply, match=says):
            await workers_of(url, transport)


async def test_a_load_without_ranks_is_a_bad_reply() -> None:
    async with answering({"loads": []}) as url, Transport() as transport:
        with pytest.raises(BadReply, match="no load"):
            await Server(url, transport).loads()
