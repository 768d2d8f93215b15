"""Servers that die, hang, come back, or serve other weights; servers that are held; limits that move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest

from benchmarks._simulated import SimulatedTransport
from rro_sdk.errors import ConfigError, ServerRefused, ServerUnreachable
from rro_sdk.inference import fleet as fleet_module
from rro_sdk.inference import slot as slot_module
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.retry import RetrySettings
from rro_sdk.inference.transport import ServerLost, Transport
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.fake import FakeServer, FakeSettings, Fault, Latency, Timed
from servers.simulated import SimulatedFleet, VirtualLoop

FAST = RetrySettings(attempts=6, first_wait_s=0.01, longest_wait_s=0.05)


def request(number: int = 0) -> ChatRequest:
    return ChatRequest((Message("user", f"question {number}"),), "m", 1.0, seed=number)


def settings(**changes: object) -> FleetSettings:
    return FleetSettings(**{"retry": FAST, "request_timeout_s": 20.0, "concurrency": 8, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks every 50 ms, so that a test need not wait for seconds."""
    monkeypatch.setattr(fleet_module, "LOOK_S", 0.1)
    monkeypatch.setattr(fleet_module, "LOOK_TIMEOUT_S", 0.3)
    monkeypatch.setattr(slot_module, "REST_S", (0.05, 0.2))


async def calls_until(fleet: Fleet, condition: Callable[[], bool], limit_s: float = 15.0) -> int:
    """Keep eight calls going until something is so. How many there were."""
    count = 0
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.gather(
                *(fleet.complete(request(count + k), affinity=str(count + k)) for k in range(8))
            )
            count += 8
    return count


@asynccontextmanager
async def silent_server() -> AsyncGenerator[tuple[str, asyncio.Event]]:
    """Accepts connections and never says a word; its address, and whether someone came."""
    asked = asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def set_version(server: FakeServer, version: str) -> None:
    async with httpx2.AsyncClient(timeout=10.0) as client:
        reply = await client.post(
            f"{server.url}/update_weight_version",
            json={"new_version": version, "abort_all_requests": False},
        )
        reply.raise_for_status()


async def test_a_server_that_dies_is_left_out_and_comes_back() -> None:
    dies = FakeSettings(timed_faults=(Timed(Fault("dead", seconds=0.7), from_s=0.3),))
    async with (
        FakeServer(dies) as mortal,
        FakeServer(FakeSettings()) as well,
        Fleet([mortal.url, well.url], settings()) as fleet,
    ):
        await fleet.check()
        await calls_until(fleet, lambda: mortal.url in fleet.out)
        await calls_until(fleet, lambda: not fleet.out)
        before = mortal.counters.completed
        await calls_until(fleet, lambda: mortal.counters.completed > before)


async def test_a_server_that_hangs_is_found_out_and_its_calls_go_elsewhere() -> None:
    """Long before the deadline of a completion, which is two minutes here."""
    async with (
        silent_server() as (url, asked),
        FakeServer(FakeSettings()) as well,
        Fleet([url, well.url], settings(request_timeout_s=120.0)) as fleet,
    ):
        async with asyncio.timeout(60.0):
            done = await asyncio.gather(
                *(fleet.complete(request(number), affinity=str(number)) for number in range(16))
            )
            assert asked.is_set()
            assert {completion.server for completion in done} == {well.url}
            while url not in fleet.out:
                await asyncio.sleep(0.01)


async def test_when_every_server_is_gone_calls_wait_once_and_then_say_so() -> None:
    async with FakeServer(FakeSettings()) as gone:
        address = gone.url
    async with Fleet([address], settings(outage_s=0.5)) as fleet:
        with pytest.raises(ServerUnreachable, match=rf"no server could be asked for 0\.5 s.*{address}"):
            await fleet.complete(request())
        assert fleet.in_flight == 0
        assert fleet.retries == 1, "the one that was sent"


class Breaking(Transport):
    """Lets completions come until all are there, and breaks the connections of the first of them."""

    def __init__(self, wanted: int, broken: int) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._come = 0
        self._wanted, self._broken = wanted, broken
        self._all_there = asyncio.Event()

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        self.asked.append(path)
        if path == "/model_info":
            return b'{"model_path": "m", "weight_version": "v1"}'
        self._come += 1
        number = self._come
        if number == self._wanted:
            self._all_there.set()
        await self._all_there.wait()
        if number <= self._broken:
            raise ServerLost("the connection broke", url=server)
        if number <= self._wanted:  # these take until after the look
            while "/model_info" not in self.asked:
                await asyncio.sleep(0.001)
        message = {"role": "assistant", "content": "a"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return msgspec.json.encode({"choices": choices, "usage": usage})


async def test_connections_that_break_cost_their_own_calls_one_more_try_and_no_others() -> None:
    transport = Breaking(30, broken=10)
    async with Fleet(["http://one:1"], settings(concurrency=30), transport=transport) as fleet:
        async with asyncio.timeout(30):
            await asyncio.gather(*(fleet.complete(request(number)) for number in range(30)))
        assert fleet.retries == 10
        assert transport.asked.count("/v1/chat/completions") == 40


async def test_after_a_broken_connection_a_server_is_looked_at_though_it_has_nothing_to_do() -> None:
    transport = Breaking(1, broken=1)
    once = settings(retry=RetrySettings(attempts=1))
    async with Fleet(["http://one:1"], once, transport=transport) as fleet, asyncio.timeout(30):
        with pytest.raises(ServerLost):
            await fleet.complete(request())
        assert not fleet.out
        while "/model_info" not in transport.asked:
            await asyncio.sleep(0.001)


async def test_an_outage_that_ends_costs_nothing_but_time() -> None:
    away = FakeSettings(timed_faults=(Timed(Fault("dead", seconds=0.8), from_s=0.1),))
    async with FakeServer(away) as server, Fleet([server.url], settings()) as fleet:
        await calls_until(fleet, lambda: fleet.retries > 0)
        assert (await fleet.complete(request())).server == server.url
        assert not fleet.out


async def test_a_server_with_other_weights_is_left_out_until_it_has_the_fleets() -> None:
    async with (
        FakeServer(FakeSettings(weight_version="v1")) as one,
        FakeServer(FakeSettings(weight_version="v1")) as two,
        FakeServer(FakeSettings(weight_version="v1")) as odd,
        Fleet([one.url, two.url, odd.url], settings()) as fleet,
    ):
        await fleet.check()
        await set_version(odd, "v0")  # as after a restart
        await calls_until(fleet, lambda: odd.url in fleet.out)
        assert "v0" in fleet.out[odd.url]
        assert fleet.weight_version == "v1"
        before = odd.counters.requests
        await asyncio.gather(*(fleet.complete(request(n), affinity=str(n)) for n in range(40)))
        assert odd.counters.requests == before
        await set_version(odd, "v1")
        await calls_until(fleet, lambda: odd.counters.requests > before)


async def test_a_reload_from_server_to_server_takes_the_fleet_along() -> None:
    async with (
        FakeServer(FakeSettings(weight_version="v1")) as one,
        FakeServer(FakeSettings(weight_version="v1")) as two,
        Fleet([one.url, two.url], settings()) as fleet,
    ):
        await fleet.check()
        await set_version(one, "v2")
        await calls_until(fleet, lambda: one.url in fleet.out)
        await set_version(two, "v2")
        await calls_until(fleet, lambda: fleet.weight_version == "v2" and not fleet.out)


async def test_a_server_that_fails_every_call_rests_though_it_answers_looks() -> None:
    broken = FakeSettings(timed_faults=(Timed(Fault("status", status=500), from_s=0.0),))
    async with (
        FakeServer(broken) as bad,
        FakeServer(FakeSettings()) as well,
        Fleet([bad.url, well.url], settings()) as fleet,
    ):
        count = await calls_until(fleet, lambda: bad.url in fleet.out)
        assert well.counters.completed == count


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_requests_that_are_wrong_do_not_put_a_server_out(status: int) -> None:
    faults = {number: Fault("status", status=status) for number in range(1, 9)}
    once = settings(retry=RetrySettings(attempts=1))
    async with FakeServer(FakeSettings(faults=faults)) as server, Fleet([server.url], once) as fleet:
        for number in range(8):
            with pytest.raises(ServerRefused, match=f"status {status}"):
                await fleet.complete(request(number))
        assert not fleet.out
        await fleet.complete(request())


async def test_a_held_server_finishes_what_it_has_and_gets_nothing_new() -> None:
    slow = FakeSettings(latency=Latency(per_request_s=0.2))
    async with FakeServer(slow) as server, Fleet([server.url], settings()) as fleet:
        running = [asyncio.create_task(fleet.complete(request(number))) for number in range(3)]
        async with asyncio.timeout(60.0):
            while server.counters.running < 3:
                await asyncio.sleep(0)
            async with fleet.held([server.url]):
                assert all(call.done() for call in running)
                late = asyncio.create_task(fleet.complete(request(9)))
                await asyncio.sleep(0)
                assert server.counters.requests == 3
                assert fleet.in_flight == 0
            await late
        assert server.counters.requests == 4


async def test_a_server_whose_reload_failed_gets_nothing_until_one_takes_it() -> None:
    async with (
        FakeServer(FakeSettings(weight_version="v1")) as one,
        FakeServer(FakeSettings(weight_version="v1")) as two,
        Fleet([one.url, two.url], settings()) as fleet,
    ):
        await fleet.check()
        await set_version(one, "v2")
        fleet.settle("v2", {two.url: "its disk is full"}, fleet.urls)
        assert fleet.out == {two.url: "its disk is full"}
        await asyncio.gather(*(fleet.complete(request(n), affinity=str(n)) for n in range(16)))
        assert two.counters.requests == 0
        await set_version(two, "v2")
        fleet.settle("v2", {}, fleet.urls)
        await calls_until(fleet, lambda: two.counters.requests > 0)


async def test_a_reload_of_some_servers_says_nothing_of_the_others() -> None:
    one, two, three = urls = [f"http://s{number}:1" for number in range(3)]
    async with Fleet(urls, transport=Breaking(0, broken=0)) as fleet:
        await fleet.check()
        fleet.settle("v1", {one: "its disk is full"}, [one])
        assert fleet.out == {one: "its disk is full"}
        fleet.settle("v2", {}, [two])
        assert fleet.weight_version == "v2"
        assert fleet.out == {one: "its disk is full", three: "it serves weight version v1"}
        fleet.settle("v2", {}, [one, three])
        assert fleet.out == {}


async def test_where_all_that_were_to_be_reloaded_failed_the_others_go_on() -> None:
    one, two = urls = ["http://s1:1", "http://s2:1"]
    async with Fleet(urls, transport=Breaking(0, broken=0)) as fleet:
        await fleet.check()
        fleet.settle("v2", {one: "it burns"}, [one])
        assert (fleet.weight_version, fleet.out) == ("v1", {one: "it burns"})
        assert fleet.limits[two] > 0


async def test_only_servers_of_the_fleet_can_be_held() -> None:
    async with Fleet(["http://127.0.0.1:1"]) as fleet:
        with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:2 is none of this fleet's"):
            async with fleet.held(["http://127.0.0.1:2"]):
                raise AssertionError


def test_a_limit_grows_until_the_slots_of_the_server_are_busy() -> None:
    # In virtual time: 2,000 requests a second are more than a busy machine answers.
    fake = FakeSettings(latency=Latency(per_request_s=0.05), max_running_requests=100)

    async def main() -> None:
        simulated = SimulatedFleet([fake])
        (url,), (counters,) = simulated.urls, simulated.counters
        stop = asyncio.Event()

        async def caller(fleet: Fleet, number: int) -> None:
            while not stop.is_set():
                await fleet.complete(request(number))

        async with Fleet([url], settings(concurrency=None), transport=SimulatedTransport(simulated)) as fleet:
            callers = [asyncio.create_task(caller(fleet, number)) for number in range(200)]
            async with asyncio.timeout(20.0):
                while fleet.limits[url] < 100 or counters.max_running < 100:
                    await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*callers)
            assert fleet.limits[url] <= 112, "an eighth more than its slots at most"
        simulated.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def test_without_a_load_endpoint_latency_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    from rro_sdk.inference.limit import Load
    from rro_sdk.inference.server import Server

    async def absent(self: Server, *, timeout_s: float = 15.0) -> Load:
        raise ServerRefused("no such path", url=self.url, status=404)

    monkeypatch.setattr(Server, "loads", absent)
    fake = FakeSettings(latency=Latency(per_request_s=0.01))
    async with FakeServer(fake) as server, Fleet([server.url], settings(concurrency=None)) as fleet:
        await calls_until(fleet, lambda: fleet.limits[server.url] == 16)
        callers = 64
        async with asyncio.timeout(20.0):
            while fleet.limits[server.url] == 16:
                await asyncio.gather(*(fleet.complete(request(number)) for number in range(callers)))
        assert fleet.limits[server.url] > 16


async def test_a_refusal_halves_what_a_server_gets() -> None:
    busy = FakeSettings(faults={1: Fault("status", status=429, retry_after_s=0.0)})
    async with FakeServer(busy) as server, Fleet([server.url], settings(concurrency=None)) as fleet:
        await fleet.complete(request())
        assert fleet.limits[server.url] == 8
        assert not fleet.out
