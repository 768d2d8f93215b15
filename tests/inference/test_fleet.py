"""The fleet against a server that misbehaves on a schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rro_sdk.errors import BadReply, ConfigError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.retry import RetrySettings
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.fake import FakeServer, FakeSettings, Fault, Latency

FAST = RetrySettings(attempts=4, first_wait_s=0.0, longest_wait_s=0.01)


def settings(**changes: Any) -> FleetSettings:
    return FleetSettings(**{"retry": FAST, "request_timeout_s": 10.0, **changes})


def request(**changes: Any) -> ChatRequest:
    fields: dict[str, Any] = {
        "messages": (Message("user", "hi"),),
        "model": "m",
        "temperature": 1.0,
        "seed": 1,
    }
    return ChatRequest(**{**fields, **changes})


def echo(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    return f"{messages[-1]['content']} {seed} {index}"


async def until(condition: Any, limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0)


async def test_a_completion_comes_back_with_tokens_version_and_server() -> None:
    async with (
        FakeServer(FakeSettings(reply=echo, weight_version="v7")) as server,
        Fleet([server.url]) as fleet,
    ):
        completion = await fleet.complete(request(n=2))
    assert [sample.text for sample in completion.samples] == ["hi 1 0", "hi 1 1"]
    assert completion.weight_versions == ("v7",)
    assert completion.usage.completion_tokens > 0
    assert completion.server == server.url


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, retry_after_s=0.0),
        Fault("status", status=500),
        Fault("status", status=503),
        Fault("reset"),
        Fault("cut_body"),
        Fault("truncated_json"),
        Fault("not_json"),
        Fault("wrong_n"),
        Fault("missing_usage"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}",
)
async def test_what_passes_is_tried_again(fault: Fault) -> None:
    fake = FakeSettings(reply=echo, faults={1: fault})
    async with FakeServer(fake) as server, Fleet([server.url], settings()) as fleet:
        completion = await fleet.complete(request())
    assert completion.samples[0].text == "hi 1 0"
    assert fleet.retries == 1
    assert server.counters.requests == 2


async def test_a_bad_request_is_final_and_its_text_is_not_repeated() -> None:
    fake = FakeSettings(faults={1: Fault("status", status=400)})
    async with FakeServer(fake) as server, Fleet([server.url], settings()) as fleet:
        with pytest.raises(ServerRefused, match="status 400") as caught:
            await fleet.complete(request(messages=(Message("user", "secret plan"),)))
    assert "secret" not in str(caught.value)
    assert server.counters.requests == 1


async def test_a_reply_of_the_wrong_shape_twice_names_server_and_field() -> None:
    faults = {1: Fault("missing_usage"), 2: Fault("missing_usage")}
    async with FakeServer(FakeSettings(faults=faults)) as server, Fleet([server.url], settings()) as fleet:
        with pytest.raises(BadReply, match="usage") as caught:
            await fleet.complete(request())
    assert caught.value.url == server.url


async def test_a_server_that_hangs_is_given_up_at_the_deadline_and_another_asked() -> None:
    hang = {number: Fault("hang") for number in range(1, 10)}
    async with (
        FakeServer(FakeSettings(faults=hang)) as stuck,
        FakeServer(FakeSettings(reply=echo)) as well,
        Fleet([stuck.url, well.url], settings(request_timeout_s=0.3)) as fleet,
    ):
        completions = await asyncio.gather(
            *(fleet.complete(request(seed=seed), affinity=str(seed)) for seed in range(8))
        )
    assert {completion.server for completion in completions} == {well.url}


async def test_the_deadline_alone_ends_a_call_when_there_is_no_other_server() -> None:
    hang = {number: Fault("hang") for number in range(1, 10)}
    once = settings(request_timeout_s=0.2, retry=RetrySettings(attempts=2, first_wait_s=0.0))
    async with FakeServer(FakeSettings(faults=hang)) as server, Fleet([server.url], once) as fleet:
        with pytest.raises(ServerTimeout, match="did not answer"):
            await fleet.complete(request())
        assert fleet.in_flight == 0


async def test_a_dead_server_costs_its_calls_one_retry_each() -> None:
    async with FakeServer(FakeSettings()) as gone:
        address = gone.url
    async with FakeServer(FakeSettings()) as well, Fleet([address, well.url], settings()) as fleet:
        for number in range(20):
            completion = await fleet.complete(request(), affinity=str(number))
            assert completion.server == well.url
    assert fleet.retries <= 1, "after the first failure it rests"


async def test_cancelling_a_completion_aborts_it_on_the_server() -> None:
    slow = FakeSettings(latency=Latency(per_request_s=60.0))
    async with FakeServer(slow) as server, Fleet([server.url], settings(request_timeout_s=120.0)) as fleet:
        calls = [asyncio.create_task(fleet.complete(request(seed=seed))) for seed in range(5)]
        await until(lambda: server.counters.running == 5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert fleet.in_flight == 0
        await until(lambda: server.counters.running == 0)


async def test_concurrency_is_bounded_and_every_waiter_is_served() -> None:
    slow = FakeSettings(latency=Latency(per_request_s=0.01))
    async with FakeServer(slow) as server, Fleet([server.url], settings(concurrency=3)) as fleet:
        await asyncio.gather(*(fleet.complete(request(seed=seed)) for seed in range(30)))
    assert server.counters.completed == 30
    assert server.counters.max_running == 3


async def test_cancelled_waiters_do_not_take_places_with_them() -> None:
    slow = FakeSettings(latency=Latency(per_request_s=0.02))
    async with FakeServer(slow) as server, Fleet([server.url], settings(concurrency=1)) as fleet:
        calls = [asyncio.create_task(fleet.complete(request(seed=seed))) for seed in range(10)]
        await until(lambda: server.counters.running == 1)
        for call in calls[1:9:2]:
            call.cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, asyncio.CancelledError) for result in done) == 4
    assert sum(not isinstance(result, BaseException) for result in done) == 6


async def test_requests_per_second_are_capped() -> None:
    capped = settings(requests_per_second=5)
    loop = asyncio.get_running_loop()
    async with FakeServer(FakeSettings()) as server, Fleet([server.url], capped) as fleet:
        began = loop.time()
        await asyncio.gather(*(fleet.complete(request(seed=seed)) for seed in range(11)))
        assert loop.time() - began >= 2.0 - 0.1, "11 requests at 5 a second span two whole periods"


async def test_servers_that_differ_are_refused_and_named() -> None:
    async with (
        FakeServer(FakeSettings(weight_version="a")) as one,
        FakeServer(FakeSettings(weight_version="b")) as two,
        Fleet([one.url, two.url]) as fleet,
    ):
        with pytest.raises(ConfigError, match="the servers differ") as caught:
            await fleet.check()
    assert one.url in str(caught.value)
    assert two.url in str(caught.value)


async def test_keys_are_sent_and_a_wrong_one_says_so() -> None:
    async with FakeServer(FakeSettings(api_key="right")) as server:
        async with Fleet([server.url], settings(api_key="right")) as fleet:
            await fleet.check()
            await fleet.complete(request())
        async with Fleet([server.url], settings(api_key="wrong-one")) as fleet:
            with pytest.raises(ServerRefused, match=r"status 401.*right api_key") as caught:
                await fleet.complete(request())
    assert "wrong-one" not in str(caught.value) + repr(fleet.settings)


async def test_an_unreachable_server_is_named() -> None:
    async with Fleet(["http://127.0.0.1:1"], settings()) as fleet:
        with pytest.raises(ServerUnreachable, match=r"http://127\.0\.0\.1:1 "):
            await fleet.check()


@pytest.mark.parametrize(
    "changes", [{"concurrency": 0}, {"request_timeout_s": 0}, {"requests_per_second": 0}]
)
def test_settings_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        FleetSettings(**changes)
