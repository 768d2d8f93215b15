"""openai's client as a way in: the same turns, our errors, bounded retries in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from rro_sdk.errors import BadReply, ServerError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.fleet import Fleet
from rro_sdk.inference.retry import RetrySettings
from rro_sdk.methods import RisingReward
from rro_sdk.openai_policy import OpenAIPolicy
from rro_sdk.policy import Policy, ReActPolicy
from rro_sdk.sampler import Sampler
from rro_sdk.types import Message, Task
from servers.fake import FakeServer, FakeSettings, Fault
from tests.toys import ToyEnv

ONCE = RetrySettings(attempts=1)
FAST = RetrySettings(attempts=3, first_wait_s=0.0, longest_wait_s=0.0)
HELLO = (Message("user", "secret plan"),)


def reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    drawn = seed or 0
    return f"Action: go {drawn % 5}" if drawn % 3 else f"Action: end {drawn % 11 / 10}"


def policy(server: FakeServer, **changes: Any) -> OpenAIPolicy:
    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none")
    return OpenAIPolicy(client, **{"model": "fake", "retry": FAST, **changes})


def test_this_is_the_version_of_openai_that_was_asked_for() -> None:
    asked = os.environ.get("RRO_TEST_OPENAI", "3.")  # set by tests/test_openai_versions.py
    assert openai.__version__.startswith(asked)


async def test_it_draws_the_same_pairs_as_the_policy_on_our_own_transport() -> None:
    async with (
        FakeServer(FakeSettings(reply=reply, weight_version="v3")) as server,
        Fleet([server.url]) as fleet,
    ):
        found = []
        for chosen in (policy(server), ReActPolicy(fleet)):
            ways: Policy = chosen
            async with Sampler(ToyEnv(), policy=ways, method=RisingReward(rollouts=2)) as sampler:
                pairs = [pair async for pair in sampler.pairs(Task(f"t{n}", "") for n in range(8))]
            found.append((sorted(pair.id for pair in pairs), set(pairs), sampler.summary().tokens))
    assert found[0][1], "there are pairs to compare"
    assert found[0][:2] == found[1][:2]
    assert found[0][2].completion_tokens == found[1][2].completion_tokens
    assert {pair.weight_version for pair in found[0][1]} == {"v3"}


@pytest.mark.parametrize(
    "fault", [Fault("status", status=503), Fault("status", status=429, retry_after_s=0), Fault("reset")]
)
async def test_what_passes_is_tried_again_by_us_and_not_by_the_client(fault: Fault) -> None:
    async with FakeServer(FakeSettings(reply=reply, faults={1: fault})) as server:
        await policy(server).act(HELLO, seed=1, affinity="t")
        assert server.counters.requests == 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", status=400), ServerRefused),
        (Fault("status", status=500), ServerRefused),
        (Fault("reset"), ServerUnreachable),
        (Fault("hang"), ServerTimeout),
        (Fault("missing_usage"), BadReply),
        (Fault("truncated_json"), BadReply),
    ],
)
async def test_its_errors_come_under_our_names_without_the_prompt(
    fault: Fault, expected: type[ServerError]
) -> None:
    async with FakeServer(FakeSettings(faults={1: fault})) as server:
        with pytest.raises(expected) as caught:
            await policy(server, retry=ONCE, timeout_s=0.5).act(HELLO, seed=1, affinity="t")
        assert server.counters.requests == 1
    assert caught.value.url.startswith(server.url)
    assert "secret" not in str(caught.value)


async def test_credentials_in_the_address_of_a_client_are_in_no_error() -> None:
    client = AsyncOpenAI(base_url="http://user:hunter2@127.0.0.1:9/v1", api_key="hunter3")
    with pytest.raises(ServerUnreachable) as caught:
        await OpenAIPolicy(client, model="m", retry=ONCE, timeout_s=5.0).act(HELLO, seed=1, affinity="t")
    assert caught.value.url == "http://127.0.0.1:9/v1"
    assert "hunter" not in f"{caught.value} {caught.value.url} {caught.value.__cause__}"
