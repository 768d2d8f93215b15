"""How the fake server spends its time, told exactly: the clock is virtual."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.fake import FakeSettings, Latency
from servers.fake.cache import TokenCache
from servers.fake.prompts import BLOCK, Prefix, Prompts
from servers.fake.service import FakeService, Request
from servers.fake.state import FakeState
from servers.fake.wire import parse_object
from servers.simulated import VirtualLoop

T = TypeVar("T")


def virtually(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class Served:
    """A fake server without sockets, in virtual time."""

    def __init__(self, **settings: Any) -> None:
        self.state = FakeState(FakeSettings(reply=lambda messages, *_: "word " * 400, **settings))
        self.state.start(asyncio.get_running_loop())
        self.service = FakeService(self.state)

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        reply = await self.service.handle(Request("POST", path, msgspec.json.encode(body)))
        return parse_object(reply.body) if reply.body else {}

    async def chat(self, tokens: int, content: str = "hello", **more: Any) -> tuple[float, dict[str, Any]]:
        """A completion of so many tokens: when it ended, and the reply."""
        messages = [{"role": "user", "content": content}]
        reply = await self.ask("/v1/chat/completions", messages=messages, max_tokens=tokens, **more)
        return asyncio.get_running_loop().time(), reply

    async def load(self) -> dict[str, Any]:
        reply = await self.service.handle(Request("GET", "/v1/loads"))
        load: dict[str, Any] = parse_object(reply.body)["loads"][0]
        return load


async def _ends(*calls: Coroutine[Any, Any, tuple[float, dict[str, Any]]]) -> list[float]:
    return [end for end, _ in await asyncio.gather(*calls)]


def test_a_step_takes_longer_the_more_run() -> None:
    async def main() -> list[float]:
        server = Served(latency=Latency(per_token_s=0.01, per_running_s=0.01))
        return await _ends(server.chat(10), server.chat(10), server.chat(20))

    # Three run for 10 steps of 40 ms, then one for 10 steps of 20 ms.
    assert virtually(main()) == pytest.approx([0.4, 0.4, 0.6])


def test_who_arrives_in_the_middle_joins_at_the_end_of_the_step() -> None:
    async def main() -> list[float]:
        server = Served(latency=Latency(per_token_s=0.1, per_running_s=0.1))

        async def later() -> tuple[float, dict[str, Any]]:
            await asyncio.sleep(0.5)
            return await server.chat(5)

        return await _ends(server.chat(10), later())

    # Three steps of 0.2 s alone, of which the third ends at 0.6; five of 0.3 s together; two alone.
    assert virtually(main()) == pytest.approx([2.5, 2.1])


def test_prompts_hold_everyone_up_and_cached_ones_less() -> None:
    prompt = "one two three four five six seven eight " * 20

    async def main() -> tuple[float, float, dict[str, Any]]:
        server = Served(latency=Latency(per_prompt_token_s=0.01, per_cached_token_s=0.001))
        cold, first = await server.chat(1, prompt)
        warm, again = await server.chat(1, prompt)
        del first
        return cold, warm - cold, again["usage"]

    cold, warm, usage = virtually(main())
    total, cached = usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
    assert total - BLOCK <= cached < total
    assert cold == pytest.approx(0.01 * total)
    assert warm == pytest.approx(0.01 * (total - cached) + 0.001 * cached)


def test_the_reply_is_cached_with_its_prompt() -> None:
    async def main() -> dict[str, Any]:
        server = Served()
        _, first = await server.chat(60, "question")
        said = first["choices"][0]["message"]["content"]
        turns = [("user", "question"), ("assistant", said), ("user", "and then?")]
        messages = [{"role": role, "content": content} for role, content in turns]
        reply = await server.ask("/v1/chat/completions", messages=messages, max_tokens=1)
        usage: dict[str, Any] = reply["usage"]
        return usage

    assert virtually(main())["prompt_tokens_details"]["cached_tokens"] >= 48


def test_more_than_run_at_once_wait_in_order_and_are_told_of() -> None:
    async def main() -> tuple[list[float], dict[str, Any], dict[str, Any]]:
        server = Served(latency=Latency(per_token_s=0.1), max_running_requests=2)
        calls = asyncio.gather(*(server.chat(10) for _ in range(5)))
        await asyncio.sleep(0.55)
        during = await server.load()
        ends = [end for end, _ in await calls]
        return ends, during, await server.load()

    ends, during, after = virtually(main())
    assert ends == pytest.approx([1.0, 1.0, 2.0, 2.0, 3.0])
    assert (during["num_running_reqs"], during["num_waiting_reqs"]) == (2, 3)
    assert during["max_running_requests"] == 2
    assert 0 < during["token_usage"] < 1
    assert during["num_total_tokens"] > during["num_used_tokens"] > 0
    assert (after["num_running_reqs"], after["num_waiting_reqs"], after["token_usage"]) == (0, 0, 0)


def test_samples_of_one_request_are_a_sequence_each() -> None:
    async def main() -> tuple[float, dict[str, Any]]:
        server = Served(latency=Latency(per_token_s=0.1), max_running_requests=2)
        return await server.chat(10, n=3)

    end, reply = virtually(main())
    assert end == pytest.approx(2.0)
    assert reply["usage"]["completion_tokens"] == 30


def test_room_for_tokens_bounds_what_runs() -> None:
    async def main() -> tuple[list[float], int]:
        server = Served(latency=Latency(per_token_s=0.01), context_length=300, max_total_tokens=300)
        calls = [server.chat(100, f"{number} differs from the rest") for number in range(4)]
        ends = await _ends(*calls)
        return ends, server.state.counters.max_running

    ends, most = virtually(main())
    assert most == 2, "two of about 110 tokens fit into 300"
    assert ends == pytest.approx([1.0, 1.0, 2.0, 2.0])


def test_a_pause_stops_the_clock_and_a_retract_computes_again() -> None:
    async def main(mode: str) -> tuple[float, int]:
        server = Served(latency=Latency(per_token_s=0.1, per_prompt_token_s=0.01))
        call = asyncio.ensure_future(server.chat(10, "w " * 30))
        await asyncio.sleep(1.0)
        await server.ask("/pause_generation", mode=mode)
        assert (await server.load())["num_running_reqs"] == (0 if mode == "retract" else 1)
        await server.service.handle(Request("POST", "/flush_cache"))
        await asyncio.sleep(10.0)
        await server.ask("/continue_generation")
        end, reply = await call
        return end, reply["usage"]["prompt_tokens"]

    end, prompt = virtually(main("in_place"))
    assert end == pytest.approx(10.0 + 0.01 * prompt + 10 * 0.1)
    made = int((1.0 - 0.01 * prompt) / 0.1)
    assert 0 < made < 10
    # The prompt and the tokens made so far are computed again; the step under way is lost.
    end, prompt = virtually(main("retract"))
    assert end == pytest.approx(11.0 + 0.01 * (prompt + made) + (10 - made) * 0.1)


def test_aborted_requests_speed_up_the_rest() -> None:
    async def main() -> float:
        server = Served(latency=Latency(per_running_s=0.1))
        rest = asyncio.ensure_future(server.chat(10))
        gone = asyncio.ensure_future(server.chat(10, rid="gone"))
        await asyncio.sleep(0.5)
        await server.ask("/abort_request", rid="gone")
        assert (await gone)[1]["usage"]["completion_tokens"] == 2
        return (await rest)[0]

    assert virtually(main()) == pytest.approx(3 * 0.2 + 7 * 0.1)


lengths = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 30), st.integers(1, 3), st.booleans()),
    min_size=1,
    max_size=12,
)


@given(lengths, st.integers(1, 4), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 0.03]))
def test_whatever_comes_all_is_given_back(
    asked: list[tuple[int, int, int, bool]], slots: int, per_token_s: float, per_request_s: float
) -> None:
    async def main() -> None:
        latency = Latency(per_request_s, per_token_s, per_running_s=0.01, per_prompt_token_s=0.001)
        server = Served(latency=latency, max_running_requests=slots, context_length=200, max_total_tokens=400)

        async def one(number: int, start: int, tokens: int, n: int, stays: bool) -> None:
            await asyncio.sleep(start * 0.05)
            call = asyncio.ensure_future(server.chat(tokens, f"task {number % 3} " * 8, n=n))
            if stays:
                assert (await call)[1]["usage"]["completion_tokens"] == n * tokens
            else:
                await asyncio.sleep(0.12)
                call.cancel()

        await asyncio.gather(*(one(number, *each) for number, each in enumerate(asked)))
        await asyncio.sleep(0)
        load = await server.load()
        assert (load["num_running_reqs"], load["num_waiting_reqs"], load["num_used_tokens"]) == (0, 0, 0)
        assert server.state.counters.max_running <= slots
        meter = server.state.engine.read_meter()
        assert meter.slot_s <= slots * asyncio.get_running_loop().time() + 1e-9
        assert server.state.engine.idle.is_set()

    virtually(main())


@given(st.lists(st.text("ab", max_size=80), min_size=1, max_size=8), st.integers(0, 30))
def test_what_is_cached_is_always_a_prefix(texts: list[str], room: int) -> None:
    cache, root = TokenCache(room * BLOCK), Prefix()
    held: list[Prefix] = []
    for text in texts:
        prompt = root.then(" ".join(text))
        if cache.fits(prompt, 5):
            cache.hold(prompt, 5)
            held.append(prompt)
            cache.keep(prompt)
            assert cache.known(prompt) == max(0, min(len(prompt.keys) * BLOCK, prompt.tokens - 1))
        assert cache.used <= room * BLOCK
    for prompt in held:
        cache.release(prompt, 5)
    assert cache.used == 0
    cache.clear()
    assert not any(cache.known(prompt) for prompt in held)


def test_keys_stand_for_the_whole_prefix_and_templates_agree() -> None:
    prompts = Prompts()
    first = [{"role": "user", "content": "a question of some length " * 4}]
    prompt = prompts.of_messages(first)
    answered = prompt.then("an answer\n")
    more = prompts.of_messages(
        [*first, {"role": "assistant", "content": "an answer"}, {"role": "user", "content": "b"}]
    )
    assert more.keys[: len(answered.keys)] == answered.keys
    other = prompts.of_messages([{"role": "user", "content": "b question of some length " * 4}])
    assert not set(other.keys) & set(prompt.keys)
