"""What each engine is asked for: vLLM against its recorded contract, SGLang against the fake."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rro_sdk.errors import CheckpointError, ConfigError, ReloadError, ServerRefused
from rro_sdk.inference.engines import CONTROL_TIMEOUT_S, SGLang
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.simulated import VirtualLoop
from tests.checkpoints import SHAPES, write_checkpoint
from tests.inference.vllm_stub import VLLMStub

LOAD = ["reload_weights", "reset_prefix_cache running", "update_weight_version"]


def long_request() -> ChatRequest:
    return ChatRequest(messages=(Message("user", "long"),), model="served", temperature=0.0)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "served")


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "new", fill=1)


@pytest.mark.parametrize(
    ("mode", "pause", "reason"),
    [("drain", "wait", "stop"), ("abort", "abort", None), ("retract", "keep", "stop")],
)
async def test_vllm_with_a_request_in_flight(
    mode: str, pause: str, reason: str | None, served: Path, new: Path
) -> None:
    settings = ReloadSettings(engine="vllm", mode=mode)  # type: ignore[arg-type]
    async with VLLMStub(served) as stub, Transport() as transport:
        running = asyncio.create_task(Server(stub.url, transport).complete(long_request(), timeout_s=10))
        async with asyncio.timeout(30):
            while not stub.running:
                await asyncio.sleep(0)
        report = await reload_weights([stub.url], new, settings)
        report.raise_for_failures()
        assert stub.log == [f"pause {pause}", *LOAD, "resume"]
        assert (stub.version, stub.loaded, stub.paused) == (report.weight_version, str(new), None)
        if reason is None:
            with pytest.raises(ConnectionError, match="aborted a completion"):
                await running
        else:
            assert (await running).samples[0].finish_reason == reason


class Unflushed(Transport):
    """Answers an SGLang's control calls: its first update takes long and cannot flush the cache."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[tuple[str, float]] = []

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        self.limits.append((path, timeout_s))
        if len(self.limits) == 1:
            await asyncio.sleep(500.0)
            raise ServerRefused("not flushed", url=server, status=400)
        return b'{"success": true}'


def test_an_update_that_is_made_once_more_has_what_is_left_of_its_time() -> None:
    async def main() -> list[tuple[str, float]]:
        transport = Unflushed()
        engine = SGLang("http://one:1", transport, transport)
        await engine.pause("drain", timeout_s=600.0)
        await engine.update("/new", "v1", timeout_s=1200.0)
        return transport.limits

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == [
            ("/update_weights_from_disk", 1200.0),
            ("/pause_generation", CONTROL_TIMEOUT_S),
            ("/update_weights_from_disk", 700.0),
        ]


async def test_vllm_goes_back_to_the_weights_that_it_started_with(served: Path, new: Path) -> None:
    async with VLLMStub(served) as stub:
        stub.rpc_status = 500
        stub.rpc_failures = 1
        report = await reload_weights([stub.url], new, ReloadSettings(engine="vllm"))
        assert "status 500" in report.failed[stub.url]
        assert report.rolled_back == (stub.url,)
        assert (stub.version, stub.loaded, stub.paused) == ("default", str(served), None)
        with pytest.raises(ReloadError, match="it serves the old version"):
            report.raise_for_failures()


async def test_vllm_cannot_go_back_to_weights_that_it_does_not_name(served: Path, new: Path) -> None:
    settings = ReloadSettings(engine="vllm")
    async with VLLMStub(served) as stub:
        (await reload_weights([stub.url], new, settings)).raise_for_failures()
        stub.rpc_status = 500
        report = await reload_weights([stub.url], served, settings)
        assert (tuple(report.failed), report.rolled_back) == ((stub.url,), ())
        assert stub.paused is None
        assert "abort_requests" in stub.log


async def test_vllm_with_a_cache_that_will_not_be_forgotten_has_not_been_reloaded(
    served: Path, new: Path
) -> None:
    async with VLLMStub(served) as stub:
        stub.reset_succeeds = False
        report = await reload_weights([stub.url], new, ReloadSettings(engine="vllm"))
        assert "/reset_prefix_cache" in report.failed[stub.url]
        assert report.rolled_back == ()


async def test_vllm_is_not_asked_to_load_what_does_not_fit(served: Path, tmp_path: Path) -> None:
    wrong = write_checkpoint(tmp_path / "wrong", shapes={**SHAPES, "model.norm.weight": (5,)})
    async with VLLMStub(served) as stub:
        with pytest.raises(CheckpointError, match=r"model\.norm\.weight"):
            await reload_weights([stub.url], wrong, ReloadSettings(engine="vllm"))
        assert stub.log == []


def test_an_engine_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="sglang, vllm"):
        ReloadSettings(engine="other")  # type: ignore[arg-type]
