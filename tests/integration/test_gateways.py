"""The real gateways in front of two fake servers: requests through them, control calls to every worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from rro_sdk.checkpoint import describe
from rro_sdk.errors import ServerError
from rro_sdk.inference.engines import ReloadMode
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.gateway import workers_of
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.fake import FakeServer, FakeSettings, Latency
from servers.ports import reserve
from tests.checkpoints import write_checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-gateways" / "bin" / "python"

PROGRAMS = {
    "smg": ["-m", "smg.cli", "launch", "--enable-rl"],
    "sglang-router": ["-m", "sglang_router.launch_router"],
}

READY_S = 60.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("gateways") / "served")


@pytest.fixture(params=sorted(PROGRAMS))
def program(request: pytest.FixtureRequest) -> str:
    if not PYTHON.exists():
        why = "no .venv-gateways with smg and sglang-router; run: make setup"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{why}; in CI it must be there")
        pytest.skip(why)
    return str(request.param)


@asynccontextmanager
async def gateway(program: str, workers: list[str], log: Path) -> AsyncGenerator[str, None]:
    """A gateway that has found its workers healthy."""
    first, second = reserve("127.0.0.1", None, 2)
    port, metrics = first.port, second.port
    arguments = ["--worker-urls", *workers, "--policy", "round_robin", "--host", "127.0.0.1"]
    arguments += ["--port", str(port), "--prometheus-port", str(metrics), "--disable-retries"]
    first.close()
    second.close()
    with (
        log.open("wb") as file,
        subprocess.Popen(  # noqa: ASYNC220 (a few milliseconds)
            [str(PYTHON), *PROGRAMS[program], *arguments], stdout=file, stderr=file
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            async with asyncio.timeout(READY_S), Transport() as transport:
                while not await _ready(url, transport, len(workers)):
                    assert process.poll() is None, log.read_text()[-2000:]
                    await asyncio.sleep(0.1)
            yield url
        finally:
            process.kill()  # it has nothing to put in order, and smg would wait 5 s for that
            await asyncio.to_thread(process.wait, 10)


async def _ready(url: str, transport: Transport, count: int) -> bool:
    try:
        return len(await workers_of(url, transport)) == count
    except ServerError:
        return False


def request(content: str, **changes: object) -> ChatRequest:
    fields = {"messages": (Message("user", content),), "model": "fake", "temperature": 1.0, **changes}
    return ChatRequest(**fields)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def test_what_is_asked_of_a_gateway_reaches_every_worker(
    program: str, served: Path, tmp_path: Path
) -> None:
    slow = Latency(per_request_s=0.05, per_token_s=0.02)
    settings = FakeSettings(model_path=str(served), weight_version="v0", latency=slow)
    async with FakeServer(settings) as one, FakeServer(settings) as two:
        async with gateway(program, [one.url, two.url], tmp_path / "log") as url, Transport() as transport:
            server = Server(url, transport)
            assert set(await server.find_workers()) == {one.url, two.url}
            info = await server.model_info()
            assert (info.model_path, info.weight_version) == (str(served), "v0")
            assert (await server.loads()).slots == 512

            async def ask(number: int) -> tuple[str, ...]:
                asked = request(f"question {number}", n=1 + number % 2)
                return (await server.complete(asked, timeout_s=30)).weight_versions

            assert {await ask(number) for number in range(4)} == {("v0",)}
            assert one.counters.completed > 0
            assert two.counters.completed > 0

            modes: tuple[ReloadMode, ...] = ("retract", "drain")
            for fill, mode in enumerate(modes, start=1):
                new = write_checkpoint(tmp_path / mode, fill=fill)
                asking = [asyncio.create_task(ask(number)) for number in range(8)]
                await until(lambda: one.counters.running > 0 and two.counters.running > 0, "both are busy")
                report = await reload_weights([url], new, ReloadSettings(mode=mode))
                report.raise_for_failures()
                version = describe(new).sha256[:12]
                assert set(report.reloaded) == {one.url, two.url}
                assert one.weight_version == two.weight_version == report.weight_version == version
                assert not (one.paused or two.paused)
                assert all(await asyncio.gather(*asking))  # none was lost
                assert await ask(1) == (version,)
                assert (await server.model_info()).weight_version == version


async def test_what_is_given_up_ends_on_the_worker(program: str, tmp_path: Path) -> None:
    settings = FakeSettings(latency=Latency(per_request_s=60.0))
    async with FakeServer(settings) as one, FakeServer(settings) as two:
        async with gateway(program, [one.url, two.url], tmp_path / "log") as url, Transport() as transport:
            server = Server(url, transport)
            await server.find_workers()

            def running() -> tuple[int, int]:
                return one.counters.running, two.counters.running

            asking = [
                asyncio.create_task(server.complete(request(str(number)), timeout_s=60))
                for number in range(2)
            ]
            await until(lambda: running() == (1, 1), "one request on each worker")
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await until(lambda: running() == (0, 0), "both are freed")


async def test_the_request_s_own_id_reaches_the_worker_through_smg_alone(
    program: str, tmp_path: Path
) -> None:
    """sglang-router drops it: there the closed connection is all that tells a worker to stop."""
    async with FakeServer() as one:
        async with (
            gateway(program, [one.url], tmp_path / "log") as url,
            httpx2.AsyncClient(timeout=30, trust_env=False) as client,
        ):
            body = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "rid": "mine"}
            reply = (await client.post(f"{url}/v1/chat/completions", json=body)).json()
    assert (reply["id"] == "mine") == (program == "smg")


async def test_a_fleet_works_through_a_gateway(program: str, tmp_path: Path) -> None:
    settings = FakeSettings(weight_version="v3", latency=Latency(per_request_s=0.01))
    async with FakeServer(settings) as one, FakeServer(settings) as two:
        async with (
            gateway(program, [one.url, two.url], tmp_path / "log") as url,
            Fleet([url], FleetSettings(concurrency=8)) as fleet,
        ):
            assert (await fleet.check())[url].weight_version == "v3"
            done = await asyncio.gather(*(fleet.complete(request(str(number))) for number in range(32)))
    assert len(done) == 32
    assert {completion.weight_versions for completion in done} == {("v3",)}
    assert min(one.counters.completed, two.counters.completed) > 0
