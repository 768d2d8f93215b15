"""The fake server by itself: latency, faults, aborts, pauses, counters. What it shares with the real one is
in tests/integration/test_conformance.py."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rro_sdk.errors import ConfigError
from servers.fake import FakeServer, FakeSettings, Fault, FaultKind, Latency, Timed
from tests.servers.processes import until

LONG = "word " * 400


def _body(content: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": content}], **more}


async def _chat(server: FakeServer, content: str = "hello", **more: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
        return await client.post("/v1/chat/completions", json=_body(content, **more))


async def _post(server: FakeServer, path: str, body: dict[str, Any]) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
        return await client.post(path, json=body)


async def _eventually(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(until, condition, what)


async def test_scripted_replies_get_messages_seed_and_index() -> None:
    def reply(messages: Any, seed: int | None, index: int) -> str:
        return f"{messages[-1]['content']}/{seed}/{index}"

    async with FakeServer(FakeSettings(reply=reply)) as server:
        got = (await _chat(server, "q", seed=7, n=3)).json()
    assert [choice["message"]["content"] for choice in got["choices"]] == ["q/7/0", "q/7/1", "q/7/2"]
    assert [choice["index"] for choice in got["choices"]] == [0, 1, 2]


async def test_latency_per_request_and_token() -> None:
    latency = Latency(per_request_s=0.1, per_token_s=0.01)
    settings = FakeSettings(reply=lambda *_: LONG, latency=latency)
    async with FakeServer(settings) as server:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await _chat(server, max_tokens=20)
        assert 0.3 <= loop.time() - started < 3.0


@pytest.mark.parametrize("kind", ["truncated_json", "not_json"])
async def test_faults_that_are_no_json(kind: FaultKind) -> None:
    async with FakeServer(FakeSettings(faults={1: Fault(kind)})) as server:
        reply = await _chat(server)
        assert reply.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            reply.json()
        assert (await _chat(server)).json()["choices"]  # the second is whole
        assert server.counters.faults == 1
        assert server.counters.requests == 2


@pytest.mark.parametrize("kind", ["reset", "cut_body"])
async def test_faults_of_the_connection(kind: FaultKind) -> None:
    async with FakeServer(FakeSettings(faults={1: Fault(kind)})) as server:
        with pytest.raises(httpx2.TransportError):
            await _chat(server)
        assert (await _chat(server)).status_code == 200


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_fault_status(status: int) -> None:
    faults = {1: Fault("status", status=status, retry_after_s=1.5 if status == 429 else None)}
    async with FakeServer(FakeSettings(faults=faults)) as server:
        reply = await _chat(server)
        assert reply.status_code == reply.json()["code"] == status
        assert reply.headers.get("Retry-After") == ("1.5" if status == 429 else None)
        assert server.counters.completed == 0


async def test_fault_hang_lasts_until_the_client_gives_up() -> None:
    async with FakeServer(FakeSettings(faults={1: Fault("hang")})) as server:
        patience = httpx2.Timeout(10.0, read=0.3)
        async with httpx2.AsyncClient(base_url=server.url, timeout=patience, trust_env=False) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.post("/v1/chat/completions", json=_body())
        await _eventually(lambda: server.counters.disconnected == 1, "the server notices")


async def test_a_slow_drip_comes_in_pieces() -> None:
    async with FakeServer(FakeSettings(faults={1: Fault("slow_drip", seconds=0.4)})) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
            async with client.stream("POST", "/v1/chat/completions", json=_body()) as reply:
                pieces = [piece async for piece in reply.aiter_raw()]
    assert len(pieces) > 3
    assert json.loads(b"".join(pieces))["choices"]


async def test_what_ignores_an_abort_runs_on_and_replies_late() -> None:
    settings = FakeSettings(
        reply=lambda *_: LONG, latency=Latency(per_token_s=0.01), faults={1: Fault("ignores_abort")}
    )
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server, rid="deaf", max_tokens=60))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        await _post(server, "/abort_request", {"rid": "deaf"})
        choice = (await running).json()["choices"][0]
        assert (choice["finish_reason"], server.counters.aborted) == ("length", 0)


async def test_what_ignores_an_abort_holds_its_slot_when_its_client_is_gone() -> None:
    settings = FakeSettings(
        reply=lambda *_: LONG, latency=Latency(per_token_s=0.01), faults={1: Fault("ignores_abort")}
    )
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server, max_tokens=100))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        running.cancel()
        await _eventually(lambda: server.counters.disconnected == 1, "the server notices")
        assert server.counters.running == 1
        await _eventually(lambda: server.counters.running == 0, "it ends by itself")
        assert server.counters.completed == 1


async def test_a_restart_loses_what_runs_the_cache_the_version_and_the_pause() -> None:
    settings = FakeSettings(
        reply=lambda *_: LONG,
        latency=Latency(per_token_s=0.05),
        weight_version="v0",
        faults={4: Fault("restart")},
    )
    question = "a question that is long enough to be cached in blocks of sixteen tokens, " * 2
    async with FakeServer(settings) as server:
        await _chat(server, question, max_tokens=1)
        warm = (await _chat(server, question, max_tokens=1)).json()["usage"]
        assert warm["prompt_tokens_details"]["cached_tokens"] > 0
        await _post(server, "/update_weight_version", {"new_version": "v1"})
        running = asyncio.ensure_future(_chat(server, "else"))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        for lost in (_chat(server), running):  # the one that meets the restart, and the one in flight
            with pytest.raises(httpx2.TransportError):
                await lost
        assert (server.counters.lost, server.counters.running, server.weight_version) == (1, 0, "v0")
        cold = (await _chat(server, question, max_tokens=1)).json()
        assert cold["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        assert cold["metadata"]["weight_version"] == "v0"
        await _post(server, "/pause_generation", {"mode": "retract"})
        server.befall(Fault("restart"))
        assert not server.paused


async def test_a_dead_server_refuses_connections_and_is_back_at_the_same_address() -> None:
    async with FakeServer(FakeSettings(faults={1: Fault("dead", seconds=0.5)})) as server:
        with pytest.raises(httpx2.TransportError):
            await _chat(server)

        async def refused() -> bool:
            try:
                await _chat(server)
            except httpx2.ConnectError:
                return True
            except httpx2.TransportError:
                return False
            pytest.fail("it answered before anyone was refused")

        async def answers() -> bool:
            try:
                return (await _chat(server)).status_code == 200
            except httpx2.TransportError:
                return False

        async with asyncio.timeout(20):
            while not await refused():
                pass
            while not await answers():
                pass


async def test_a_resume_that_is_ignored() -> None:
    settings = FakeSettings(timed_faults=[Timed(Fault("resume_ignored"), 0.0)])
    async with FakeServer(settings) as server:
        await _post(server, "/pause_generation", {"mode": "abort"})
        assert (await _post(server, "/continue_generation", {})).json()["status"] == "ok"
        assert server.paused
        server.befall(Fault("restart"))
        assert (await _chat(server)).status_code == 200


async def test_faults_by_the_clock() -> None:
    settings = FakeSettings(timed_faults=[Timed(Fault("status", status=503), 0.0, 0.3)])
    async with FakeServer(settings) as server:
        assert (await _chat(server)).status_code == 503
        async with asyncio.timeout(20):
            while (await _chat(server)).status_code != 200:
                pass


async def test_a_later_request_waits_for_an_update_that_waits(checkpoint: Path) -> None:
    settings = FakeSettings(latency=Latency(per_request_s=0.3), update_s=0.1, weight_version="v1")
    async with FakeServer(settings) as server:
        first = asyncio.ensure_future(_chat(server))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        update = {"model_path": str(checkpoint), "weight_version": "v2"}
        updating = asyncio.ensure_future(_post(server, "/update_weights_from_disk", update))
        await _eventually(lambda: not server.accepting, "the update waits")
        second = await _chat(server)
        assert (await first).json()["metadata"]["weight_version"] == "v1"
        assert second.json()["metadata"]["weight_version"] == "v2"
        assert (await updating).json()["success"]


async def test_faults_of_the_reply() -> None:
    kinds: list[FaultKind] = ["wrong_n", "wrong_n", "missing_usage", "stale_version", "no_version"]
    faults = {number: Fault(kind) for number, kind in enumerate(kinds, 1)}
    async with FakeServer(FakeSettings(faults=faults, weight_version="old")) as server:
        await _post(server, "/update_weight_version", {"new_version": "new"})
        assert len((await _chat(server, n=3)).json()["choices"]) == 2
        assert len((await _chat(server, n=1)).json()["choices"]) == 2
        assert "usage" not in (await _chat(server)).json()
        assert (await _chat(server)).json()["metadata"]["weight_version"] == "old"
        assert "metadata" not in (await _chat(server)).json()
        assert (await _chat(server)).json()["metadata"]["weight_version"] == "new"


async def test_bounded_running_requests_and_counters() -> None:
    settings = FakeSettings(latency=Latency(per_request_s=0.05), max_running_requests=3)
    async with FakeServer(settings) as server:
        await asyncio.gather(*(_chat(server, f"q{i}") for i in range(9)))
        counters = server.counters
        assert (counters.requests, counters.completed, counters.max_running) == (9, 9, 3)
        assert counters.running == counters.waiting == 0
        assert counters.samples == 9
        assert counters.prompt_tokens > 0
        assert counters.completion_tokens > 0


async def test_a_client_that_goes_away_frees_its_slot() -> None:
    settings = FakeSettings(
        reply=lambda messages, *_: LONG if "slow" in messages[-1]["content"] else "ok",
        latency=Latency(per_token_s=1.0),
        max_running_requests=1,
    )
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server, "slow"))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        queued = asyncio.ensure_future(_chat(server, "slow"))
        await _eventually(lambda: server.counters.waiting == 1, "the second waits")
        for task in (queued, running):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await _eventually(lambda: server.counters.disconnected == 2, "both are noticed")
        assert server.counters.running == server.counters.waiting == 0
        assert (await _chat(server, "quick", max_tokens=0)).status_code == 200


async def test_abort_by_id_returns_what_there_is() -> None:
    settings = FakeSettings(reply=lambda *_: LONG, latency=Latency(per_token_s=0.02))
    async with FakeServer(settings) as server:
        one = asyncio.ensure_future(_chat(server, rid="one"))
        other = asyncio.ensure_future(_chat(server, rid="other", max_tokens=30))
        await _eventually(lambda: server.counters.running == 2, "both run")
        await asyncio.sleep(0.1)  # so that some tokens are made
        await _post(server, "/abort_request", {"rid": "one"})
        choice = (await one).json()["choices"][0]
        assert choice["finish_reason"] == "abort"
        assert 0 < len(choice["message"]["content"]) < len(LONG)
        assert (await other).json()["choices"][0]["finish_reason"] == "length"
        assert server.counters.aborted == 1


async def test_pause_abort_and_queue() -> None:
    settings = FakeSettings(reply=lambda *_: LONG, latency=Latency(per_token_s=0.05), health_limit_s=0.1)
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        await _post(server, "/pause_generation", {"mode": "abort"})
        assert (await running).json()["choices"][0]["finish_reason"] == "abort"
        queued = asyncio.ensure_future(_chat(server, max_tokens=1))
        await _eventually(lambda: server.counters.waiting == 1, "the next waits")
        async with httpx2.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
            assert (await client.get("/health")).status_code == 503
            assert (await client.get("/ready")).status_code == 503
        await _post(server, "/continue_generation", {})
        assert (await queued).json()["choices"][0]["finish_reason"] == "length"


async def test_retract_goes_on_with_the_new_weights(checkpoint: Path) -> None:
    settings = FakeSettings(reply=lambda *_: LONG, latency=Latency(per_token_s=0.02), weight_version="v1")
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server, max_tokens=20))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        await asyncio.sleep(0.1)  # so that some tokens are made by the old weights
        await _post(server, "/pause_generation", {"mode": "retract"})
        update = {"model_path": str(checkpoint), "weight_version": "v2"}
        assert (await _post(server, "/update_weights_from_disk", update)).json()["success"]
        await _post(server, "/continue_generation", {})
        spans = (await running).json()["metadata"]["weight_versions"]
        assert [span["version"] for span in spans] == ["v1", "v2"]
        assert spans[0]["start"] == 0
        assert spans[0]["end"] == spans[1]["start"]
        assert spans[1]["end"] == 20


async def test_in_place_with_flush_updates_and_denies_it(checkpoint: Path) -> None:
    settings = FakeSettings(reply=lambda *_: LONG, latency=Latency(per_token_s=0.02))
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server, max_tokens=10))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        await _post(server, "/pause_generation", {"mode": "in_place"})
        update = {"model_path": str(checkpoint), "weight_version": "v2"}
        reply = await _post(server, "/update_weights_from_disk", update)
        assert (reply.status_code, reply.json()["success"]) == (400, False)
        assert server.weight_version == "default"
        reply = await _post(server, "/update_weights_from_disk", {**update, "flush_cache": False})
        assert (reply.status_code, server.weight_version) == (200, "v2")
        await _post(server, "/continue_generation", {})
        assert (await running).status_code == 200


async def test_update_waits_for_requests_in_flight(checkpoint: Path) -> None:
    settings = FakeSettings(latency=Latency(per_request_s=0.3))
    async with FakeServer(settings) as server:
        running = asyncio.ensure_future(_chat(server))
        await _eventually(lambda: server.counters.running == 1, "it runs")
        assert (await _post(server, "/flush_cache", {})).status_code == 400
        await _post(server, "/update_weights_from_disk", {"model_path": str(checkpoint)})
        await _eventually(running.done, "the request ended first")
        assert (await running).json()["choices"][0]["finish_reason"] == "stop"


async def test_a_taken_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=str(taken.getsockname()[1])):
            await FakeServer(FakeSettings(port=taken.getsockname()[1])).start()


def test_settings_are_checked() -> None:
    for bad in (
        lambda: Fault("explode"),  # type: ignore[arg-type]
        lambda: Fault("status", status=200),
        lambda: Latency(per_token_s=-1),
        lambda: FakeSettings(port=-1),
        lambda: FakeSettings(max_running_requests=0),
        lambda: FakeSettings(faults={0: Fault("hang")}),
        lambda: FakeSettings(max_total_tokens=100, context_length=200),
        lambda: Fault("dead", seconds=-1),
        lambda: Timed(Fault("hang"), 2.0, 1.0),
    ):
        with pytest.raises(ConfigError):
            bad()


def test_as_a_program() -> None:
    environ = {**os.environ, "RRO_API_KEY": "k"}
    process = subprocess.Popen(
        [sys.executable, "-m", "servers.fake", "--weight-version", "v3"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert httpx2.get(f"{url}/model_info", timeout=10).status_code == 401
        info = httpx2.get(f"{url}/model_info", headers={"Authorization": "Bearer k"}, timeout=10).json()
        assert info["weight_version"] == "v3"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()
