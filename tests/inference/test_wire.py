from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from rro_sdk.inference.wire import ChatRequest, decode_reply, encode_request
from rro_sdk.types import Message, Usage


def reply(**changes: Any) -> bytes:
    body: dict[str, Any] = {
        "id": "1",
        "object": "chat.completion",
        "choices": [
            {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "length"},
            {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"},
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
        "metadata": {"weight_version": "v1"},
    }
    body.update(changes)
    return json.dumps(body).encode()


def test_samples_come_in_index_order_with_usage_and_version() -> None:
    completion = decode_reply(reply(), n=2, server="http://s")
    assert [(sample.text, sample.finish_reason) for sample in completion.samples] == [
        ("a", "stop"),
        ("b", "length"),
    ]
    assert completion.usage == Usage(7, 3, 5)
    assert completion.weight_versions == ("v1",)
    assert completion.server == "http://s"


def test_spans_of_two_versions_are_both_told() -> None:
    spans = [{"version": "old", "start": 0, "end": 20}, {"version": "new", "start": 20, "end": 60}]
    completion = decode_reply(
        reply(metadata={"weight_version": "new", "weight_versions": spans}), n=2, server="s"
    )
    assert completion.weight_versions == ("old", "new")


@pytest.mark.parametrize("details", [None, {"cached_tokens": None}, {}])
def test_missing_cache_report_counts_as_none_cached(details: Any) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": details}
    assert decode_reply(reply(usage=usage, metadata=None), n=2, server="s").usage == Usage(7, 0, 5)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"<html>", "JSON"),
        (b'{"choices": [', "truncated"),
        (reply(usage=None), r"\$\.usage"),
        (reply(choices=[{"index": 0}]), "message"),
        (reply(choices=[]), "Expected 2 choices, got 0"),
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (reply(choices=[{"message": {"content": ["secret"]}}]), r"\$\.choices\[0\]\.message\.content"),
        (reply(usage={"prompt_tokens": "secret", "completion_tokens": 1}), r"\$\.usage\.prompt_tokens"),
        (reply(usage={"prompt_tokens": 1, "completion_tokens": -1}), r"\$\.usage\.completion_tokens"),
        (reply(metadata={"weight_version": 3}), r"\$\.metadata\.weight_version"),
        (b'{"id": "\xff\xfe", "choices": [], "usage": "\xff"}', "Expected `object`"),
        (b'{"choices": [{"message": {"content": "\xff"}}]}', "not UTF-8"),
        (b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deep"),
    ],
)
def test_a_reply_of_another_shape_names_the_field(body: bytes, field: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=field) as caught:
        decode_reply(body, n=2, server="s")
    assert "secret" not in str(caught.value)


def test_requests_leave_out_what_is_not_set() -> None:
    request = ChatRequest(messages=(Message("user", "hi"),), model="m", temperature=0.0, seed=0)
    assert json.loads(encode_request(request)) == {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "m",
        "temperature": 0.0,
        "seed": 0,
    }


def test_several_samples_share_one_prompt_and_its_cost() -> None:
    choices = [{"index": i, "message": {"content": str(i)}, "finish_reason": "stop"} for i in (2, 0, 3, 1)]
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 64},
    }
    completion = decode_reply(reply(choices=choices, usage=usage), n=4, server="s")
    assert [sample.text for sample in completion.samples] == ["0", "1", "2", "3"]
    assert completion.usage == Usage(90, 64, 40)


def test_n_is_in_the_request_when_it_is_not_1() -> None:
    request = ChatRequest(messages=(Message("user", "hi"),), model="m", temperature=1.0, n=4)
    assert json.loads(encode_request(request))["n"] == 4
