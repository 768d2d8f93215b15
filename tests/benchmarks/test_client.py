"""benchmarks.client: every way of asking really asks, and the figures are put together as told."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import client
from benchmarks._clients import conversation
from benchmarks._stub import REPLY_TEXT, stub_server
from benchmarks.client import AIOHTTP, OPENAI, SDK, UNTUNED, Cost


async def test_every_way_gets_the_reply_that_the_stub_sends() -> None:
    with stub_server() as url:
        for contender in client.contenders():
            async with contender.way(url, 6) as call:
                await client.run_batch(call, 12, 6)


async def test_another_reply_spoils_the_batch_and_exactly_as_many_are_asked_as_told() -> None:
    asked: list[int] = []

    async def call(number: int) -> str:
        asked.append(number)
        await asyncio.sleep(0)
        return REPLY_TEXT if number < 10 else "<html>"

    await client.run_batch(call, 10, 4)
    assert sorted(asked) == list(range(10))
    with pytest.raises(ExceptionGroup) as caught:
        await client.run_batch(call, 11, 4)
    assert "not what the stub server sends" in str(caught.value.exceptions[0])


def test_ratios_are_taken_within_rounds_and_flatness_from_the_medians() -> None:
    def cost(**rounds: float) -> Cost:
        return Cost({int(name[1:]): value for name, value in rounds.items()}, [1.0])

    costs = {
        (SDK, 64): cost(r0=0.2, r1=0.4, r2=0.2),
        (SDK, 256): cost(r0=0.3, r1=0.3, r2=0.3),
        (AIOHTTP, 64): cost(r0=0.1, r1=0.1, r2=0.1),
        (AIOHTTP, 256): cost(r0=0.1, r1=0.1, r2=0.1),
        (OPENAI, 64): cost(r0=2.0, r2=2.0),
        (OPENAI, 256): cost(r0=1.5, r2=1.5),
        (SDK + UNTUNED, 64): cost(r0=0.2),
        (SDK + UNTUNED, 256): cost(r0=0.4),
        (AIOHTTP + UNTUNED, 64): cost(r0=0.1),
        (AIOHTTP + UNTUNED, 256): cost(r0=0.1),
    }
    found = {each.metric: each for each in client.metrics_of(costs, [64, 256])}
    assert found["openai over SDK path, concurrency 64"].value == pytest.approx(10.0)
    low = found["openai over SDK path, concurrency 256"]
    assert low.value == pytest.approx(5.0) and low.ok is False
    over = found["SDK path over bare aiohttp, concurrency 64"]
    assert over.value == pytest.approx(2.0) and over.spread == pytest.approx((2.0, 4.0)) and over.ok
    assert found["SDK path over bare aiohttp, concurrency 256"].ok is False
    flat = found["SDK path, highest over lowest concurrency's median"]
    assert flat.value == pytest.approx(1.5) and flat.ok is False
    assert found["SDK path, concurrency 64"].ok is True
    assert found["openai, concurrency 64"].bar is None


def test_the_conversation_is_of_the_size_that_is_told() -> None:
    for number in range(64):
        talk = conversation(number)
        assert len(talk) == 6
        assert 2300 <= sum(len(message.content) for message in talk) <= 2700
