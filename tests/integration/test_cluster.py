"""A real SGLang server on Ray: started with keys, reloaded, killed, made anew with what it was reloaded to.

Two starts of a real server, so it runs with RRO_CHAOS=full alone; tests/servers/test_cluster_ray.py has the
rest with fake ones.
"""

from __future__ import annotations

import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from rro_sdk.cluster.joining import joined
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.cluster import Layout, RayServers
from servers.settings import ServerSettings
from tests.cluster.nodes import ray_nodes
from tests.servers.processes import exists, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the [ray] extra"),
    pytest.mark.skipif(os.environ.get("RRO_CHAOS") != "full", reason="make chaos-cluster runs it"),
]

START_S = 900.0
USER, ADMIN = "user-key-4711", "admin-key-4712"


async def test_a_real_server_is_made_anew_with_the_weights_that_it_was_reloaded_to(
    smollm2: Path, sglang_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's own is 15, and this machine has other work
    other = shutil.copytree(smollm2, tmp_path / "other")
    settings = ServerSettings(
        model=smollm2,
        python=sglang_python,
        device="cpu",
        dtype="float32",
        max_total_tokens=4096,
        startup_timeout_s=START_S,
        api_key=USER,
        admin_api_key=ADMIN,
        log_dir=tmp_path / "logs",
    )
    with ray_nodes(1) as nodes, joined(nodes.address):
        async with RayServers(settings, Layout(gpus=0)) as servers:
            ((url, first),) = zip(servers.urls, servers.pids, strict=True)
            keys = ReloadSettings(api_key=USER, admin_api_key=ADMIN, update_timeout_s=START_S)
            report = await reload_weights([url], other, keys, weight_version="v2")
            assert report.reloaded == (url,)
            until(lambda: servers.weights.version == "v2", "the keeper sees it", 60.0)
            os.kill(first, signal.SIGKILL)
            until(lambda: servers.pids not in ((), (first,)), "it is made anew", START_S)
            assert servers.urls == (url,)
            async with Transport(api_key=USER) as transport:
                info = await Server(url, transport).model_info(timeout_s=120.0)
            assert (info.weight_version, info.model_path) == ("v2", str(other))
            fleet = FleetSettings(api_key=USER, admin_api_key=ADMIN)
            async with Fleet(servers.urls, fleet) as asked:
                await asked.check()
                request = ChatRequest(
                    messages=(Message("user", "Say hello."),), model="m", temperature=0.0, max_tokens=8
                )
                assert (await asked.complete(request)).weight_versions == ("v2",)
            (second,) = servers.pids
        assert not exists(second)
