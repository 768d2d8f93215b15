"""The fake server and the real one, put to the same checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from servers.fake import FakeServer, FakeSettings, Latency, seeded_reply
from tests.integration.conftest import ServedModel
from tests.integration.contract import chat, check_keys, client

OPENAI_ERROR = {"object", "message", "type", "param", "code"}

LOAD_NUMBERS: dict[str, type | tuple[type, ...]] = {
    "timestamp": float,
    "dp_rank": int,
    "num_running_reqs": int,
    "num_waiting_reqs": int,
    "num_waiting_uncached_tokens": int,
    "num_used_tokens": int,
    "num_total_tokens": int,
    "num_active_tokens": int,
    "max_total_num_tokens": int,
    "max_running_requests": int,
    "token_usage": (int, float),
    "gen_throughput": (int, float),
    "cache_hit_rate": (int, float),
    "utilization": (int, float),
    "total_prefill_uncached_tokens": int,
    "total_prefill_busy_us": int,
}
"""What an adaptive limit may read of an entry of /v1/loads."""


@dataclass(frozen=True)
class Subject:
    url: str
    model: Path


def _reply(messages: Any, seed: int | None, index: int) -> str:
    # As long as the real one goes on where it is told to ignore its end of sequence.
    return "on " * 4000 if "forever" in str(messages[-1]) else seeded_reply(messages, seed, index)


@asynccontextmanager
async def _fake(folder: Path) -> AsyncIterator[Subject]:
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    settings = FakeSettings(reply=_reply, latency=Latency(per_token_s=0.005), model_path=str(folder))
    async with FakeServer(settings) as server:
        yield Subject(server.url, folder)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "real":
        real: ServedModel = request.getfixturevalue("sglang_server")
        yield Subject(real.url, real.model)
    else:
        async with _fake(tmp_path) as subject:
            yield subject


@pytest.fixture
async def http(server: Subject) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(server.url) as opened:
        yield opened


async def test_health_and_information(http: httpx2.AsyncClient, server: Subject) -> None:
    for path in ("/health", "/health_generate", "/ready"):
        assert (await http.get(path)).status_code == 200
    info = (await http.get("/model_info")).json()
    assert info["model_path"] == str(server.model)
    assert info["weight_version"] == "default"
    assert info["is_generation"] is True
    models = (await http.get("/v1/models")).json()
    assert models["object"] == "list"
    assert {"id", "object", "root", "max_model_len"} <= set(models["data"][0])
    assert (await http.get("/server_info")).json()["model_path"] == str(server.model)


async def test_loads(http: httpx2.AsyncClient) -> None:
    told = (await http.get("/v1/loads")).json()
    assert set(told) == {"timestamp", "version", "accelerator", "num_accelerators", "loads"}
    (load,) = told["loads"]
    assert set(LOAD_NUMBERS) <= set(load)
    for name, kind in LOAD_NUMBERS.items():
        assert isinstance(load[name], kind), name
    assert set(load["queues"]) == {"waiting", "grammar", "paused", "retracted", "prealloc_ready"}
    assert 0 < load["max_running_requests"] < load["max_total_num_tokens"]


async def test_loads_follow_what_runs(http: httpx2.AsyncClient) -> None:
    asked = chat(http, "Go on forever.", max_tokens=3000, ignore_eos=True, n=2, rid="two")
    running = asyncio.ensure_future(asked)
    await _until_running(http, 2)  # each sample is a request to the scheduler

    async def load() -> dict[str, Any]:
        found: dict[str, Any] = (await http.get("/v1/loads")).json()["loads"][0]
        return found

    async with asyncio.timeout(30):
        while not (during := await load())["token_usage"]:
            await asyncio.sleep(0.1)
    assert 0 < during["num_used_tokens"] <= during["max_total_num_tokens"]
    assert during["token_usage"] < 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _until_running(http, 0)


async def test_chat_completion(http: httpx2.AsyncClient) -> None:
    got = await chat(http, "Count to ten.", n=2, seed=3, max_tokens=4)
    assert got["object"] == "chat.completion"
    assert got["model"] == "any"  # an unknown name is taken
    assert [choice["index"] for choice in got["choices"]] == [0, 1]
    for choice in got["choices"]:
        assert choice["message"]["role"] == "assistant"
        assert choice["message"]["content"]
        assert choice["finish_reason"] == "length"
    usage = got["usage"]
    assert usage["completion_tokens"] == 8  # both samples together
    assert usage["total_tokens"] == usage["prompt_tokens"] + 8
    assert got["metadata"]["weight_version"] == "default"
    assert got["metadata"]["weight_versions"] == [{"version": "default", "start": 0, "end": 4}]


async def test_stop_strings_are_cut_off(http: httpx2.AsyncClient) -> None:
    question = "Name the capital of France in one sentence."
    text = (await chat(http, question, max_tokens=12))["choices"][0]["message"]["content"]
    stop = text.split()[2]
    choice = (await chat(http, question, max_tokens=12, stop=["never-said", stop]))["choices"][0]
    assert choice["message"]["content"] == text[: text.index(stop)]
    assert (choice["finish_reason"], choice["matched_stop"]) == ("stop", stop)


async def test_a_prompt_seen_before_is_cached(http: httpx2.AsyncClient) -> None:
    prompt = "A table has the columns id, name and age. " * 8 + "What is the oldest age?"
    assert (await http.post("/flush_cache", params={"timeout": 10})).status_code == 200
    first = (await chat(http, prompt))["usage"]
    again = (await chat(http, prompt))["usage"]
    assert first["prompt_tokens"] == again["prompt_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert (
        again["prompt_tokens"] * 0.8
        < again["prompt_tokens_details"]["cached_tokens"]
        < again["prompt_tokens"]
    )


async def test_several_samples_of_one_prompt_compute_it_once(http: httpx2.AsyncClient) -> None:
    prompt = "A library lends books to people. " * 10 + "Who lends them?"
    assert (await http.post("/flush_cache", params={"timeout": 10})).status_code == 200
    usage = (await chat(http, prompt, n=3))["usage"]
    assert usage["completion_tokens"] == 12
    # Computed once for all, and then told as cached of each.
    assert (
        usage["prompt_tokens"] - 17
        <= usage["prompt_tokens_details"]["cached_tokens"]
        < usage["prompt_tokens"]
    )


async def test_the_reply_is_cached_with_its_prompt(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/flush_cache", params={"timeout": 10})).status_code == 200
    first = await chat(http, "Go on forever.", max_tokens=80, ignore_eos=True)
    said = first["choices"][0]["message"]["content"]
    turns = [("user", "Go on forever."), ("assistant", said), ("user", "And then?")]
    messages = [{"role": role, "content": content} for role, content in turns]
    body = {"model": "any", "temperature": 0, "max_tokens": 1, "messages": messages}
    usage = (await http.post("/v1/chat/completions", json=body)).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > first["usage"]["prompt_tokens"] + 16


async def test_native_generation(http: httpx2.AsyncClient) -> None:
    params = {"max_new_tokens": 3, "temperature": 0}
    one = (await http.post("/generate", json={"text": "Hello", "sampling_params": params})).json()
    assert isinstance(one["text"], str)
    assert len(one["output_ids"]) == 3
    meta = one["meta_info"]
    assert meta["finish_reason"] == {"type": "length", "length": 3}
    assert meta["completion_tokens"] == 3
    assert meta["weight_version"] == "default"
    assert {"id", "prompt_tokens", "cached_tokens", "weight_versions"} <= set(meta)
    two = (await http.post("/generate", json={"text": "Hello", "sampling_params": {**params, "n": 2}})).json()
    assert len(two) == 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"model": "x", "messages": []}', "BadRequestError"),
        (b'{"model": "x"}', "Bad Request"),
        (b"{torn", "Bad Request"),
        (b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": -1}', "BadRequestError"),
        (b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 999999}', "BadRequestError"),
    ],
)
async def test_openai_errors(http: httpx2.AsyncClient, body: bytes, kind: str) -> None:
    reply = await http.post(
        "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == 400
    error = reply.json()
    assert set(error) == OPENAI_ERROR
    assert (error["object"], error["type"], error["code"]) == ("error", kind, 400)


async def test_a_request_that_does_not_fit_says_so_in_the_words_that_the_client_reads(
    http: httpx2.AsyncClient,
) -> None:
    body = {"messages": [{"role": "user", "content": "Too much."}], "max_tokens": 10_000_000}
    reply = await http.post("/v1/chat/completions", json={"model": "any", **body})
    assert reply.status_code == 400
    assert "context length" in reply.text


async def test_other_errors(http: httpx2.AsyncClient) -> None:
    plain = {"Content-Type": "text/plain"}
    assert (await http.post("/v1/chat/completions", content=b"{}", headers=plain)).status_code == 400
    for body in ({}, {"text": "a", "sampling_params": {"max_new_tokens": -1}}):
        reply = await http.post("/generate", json=body)
        assert reply.status_code == 400
        assert set(reply.json()["error"]) == {"message"}
    reply = await http.get("/nowhere")
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})
    reply = await http.get("/generate")
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})


async def test_abort_and_flush(http: httpx2.AsyncClient) -> None:
    reply = await http.post("/abort_request", json={"rid": "unknown"})
    assert (reply.status_code, reply.content) == (200, b"")
    reply = await http.post("/flush_cache", params={"timeout": 10})
    assert reply.status_code == 200
    assert reply.text.startswith("Cache flushed.")


async def _running(http: httpx2.AsyncClient) -> int:
    load = (await http.get("/v1/loads")).json()["loads"][0]
    return int(load["num_running_reqs"]) + int(load["num_waiting_reqs"])


async def _until_running(http: httpx2.AsyncClient, count: int) -> None:
    async with asyncio.timeout(30):
        while await _running(http) != count:
            await asyncio.sleep(0.1)


async def test_an_aborted_request_returns_what_there_is(http: httpx2.AsyncClient) -> None:
    asked = chat(http, "Go on forever.", max_tokens=3000, ignore_eos=True, rid="long-one")
    running = asyncio.ensure_future(asked)
    await _until_running(http, 1)
    assert (await http.post("/abort_request", json={"rid": "long-one"})).status_code == 200
    got = await running
    assert got["choices"][0]["finish_reason"] == "abort"
    assert got["usage"]["completion_tokens"] < 3000


async def test_a_request_whose_client_went_away_is_ended(http: httpx2.AsyncClient) -> None:
    running = asyncio.ensure_future(chat(http, "Go on forever.", max_tokens=3000, ignore_eos=True))
    await _until_running(http, 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await _until_running(http, 0)


async def test_a_paused_server_queues(http: httpx2.AsyncClient) -> None:
    paused = {"message": "Generation paused successfully.", "status": "ok"}
    continued = {"message": "Generation continued successfully.", "status": "ok"}
    assert (await http.post("/pause_generation", json={"mode": "retract"})).json() == paused
    waiting = asyncio.ensure_future(chat(http, "hello"))
    done, _ = await asyncio.wait({waiting}, timeout=1.0)
    try:
        assert not done
        assert (await http.get("/ready")).status_code == 503
        bodyless = await http.post("/continue_generation")
        assert (bodyless.status_code, bodyless.json()["type"]) == (400, "Bad Request")
    finally:
        assert (await http.post("/continue_generation", json={})).json() == continued
    assert (await waiting)["choices"]
    wrong = await http.post("/pause_generation", json={"mode": "nap"})
    assert (wrong.status_code, wrong.json()["type"]) == (400, "Bad Request")


async def test_updates(http: httpx2.AsyncClient, server: Subject, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path / "nowhere", empty):
        reply = await http.post(
            "/update_weights_from_disk", json={"model_path": str(path), "weight_version": "v0"}
        )
        assert reply.status_code == 400
        assert reply.json()["success"] is False
        assert reply.json()["message"].startswith("Failed to get weights iterator: ")
    assert (await http.get("/model_info")).json()["weight_version"] == "default"

    update = {"model_path": str(server.model), "weight_version": "v1"}
    reply = await http.post("/update_weights_from_disk", json=update)
    try:
        assert (reply.status_code, reply.json()) == (
            200,
            {
                "success": True,
                "message": "Succeeded to update model weights. Weight version updated to v1.",
                "num_paused_requests": 0,
            },
        )
        assert (await http.get("/model_info")).json()["weight_version"] == "v1"
        assert (await chat(http, "hello"))["metadata"]["weight_version"] == "v1"
        assert (await http.get("/v1/models")).json()["data"][0]["id"] == str(server.model)
        nothing = await http.post("/update_weight_version", json={})
        assert (nothing.status_code, nothing.json()["type"]) == (400, "Bad Request")
    finally:
        back = await http.post("/update_weight_version", json={"new_version": "default"})
    assert back.json() == {
        "success": True,
        "message": "Weight version updated to default",
        "new_version": "default",
    }


async def test_an_update_that_waits_goes_before_later_requests(
    http: httpx2.AsyncClient, server: Subject
) -> None:
    first = asyncio.ensure_future(chat(http, "Go on forever.", max_tokens=400, ignore_eos=True, rid="first"))
    await _until_running(http, 1)
    update = {"model_path": str(server.model), "weight_version": "v1"}
    updating = asyncio.ensure_future(http.post("/update_weights_from_disk", json=update))
    done, _ = await asyncio.wait({updating}, timeout=0.5)
    try:
        assert not done
        later = await chat(http, "hello", max_tokens=1)
        assert later["metadata"]["weight_version"] == "v1"
        assert first.done()
        assert (await first)["metadata"]["weight_versions"] == [
            {"version": "default", "start": 0, "end": 400}
        ]
        body = (await updating).json()
        # At times the scheduler has not seen yet that the request ended; see the next test.
        assert body["success"] or "the cache was not flushed" in body["message"], body["message"]
    finally:
        await http.post("/update_weight_version", json={"new_version": "default"})


async def test_an_update_that_could_not_flush_is_made_again_in_a_pause(
    http: httpx2.AsyncClient, server: Subject
) -> None:
    running = asyncio.ensure_future(chat(http, "Go on forever.", max_tokens=100, ignore_eos=True))
    await _until_running(http, 1)
    update = {"model_path": str(server.model), "weight_version": "v1"}
    try:
        await http.post("/pause_generation", json={"mode": "in_place"})
        refused = await http.post("/update_weights_from_disk", json=update)
        assert (refused.status_code, refused.json()["success"]) == (400, False)
        assert "the cache was not flushed" in refused.json()["message"]
        assert (await http.get("/model_info")).json()["weight_version"] == "default"
        await http.post("/pause_generation", json={"mode": "retract"})
        again = (await http.post("/update_weights_from_disk", json=update)).json()
        assert again["success"], again["message"]
        assert (await http.get("/model_info")).json()["weight_version"] == "v1"
    finally:
        await http.post("/continue_generation", json={})
        reply = await running
        await http.post("/update_weight_version", json={"new_version": "default"})
    assert reply["usage"]["completion_tokens"] == 100


async def test_keys_of_the_fake() -> None:
    # The real server's are checked in test_sglang_server.py, where one is started with keys.
    async with FakeServer(FakeSettings(api_key="user-key", admin_api_key="admin-key")) as keyed:
        await check_keys(keyed.url, "user-key", "admin-key")
