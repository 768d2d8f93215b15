"""A real Ray cluster of this machine: two nodes, of which a sampler and a node are killed.

RRO_CHAOS=full (`make chaos-cluster`) kills fifty times, drivers too.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from rro_sdk.cluster import sample_on_ray
from rro_sdk.cluster.joining import _why
from rro_sdk.errors import ConfigError
from tests.chaos.cluster import ClusterChaos
from tests.cluster.crew import tasks, work
from tests.cluster.nodes import Nodes, ray_nodes

# Not importorskip: Ray reads its time-outs when it is imported, and `ray_nodes` sets them.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the [ray] extra")

FULL = os.environ.get("RRO_CHAOS") == "full"
COUNT = 24 if FULL else 6


async def test_killed_anywhere_a_run_on_a_cluster_is_the_one_of_a_single_process(tmp_path: Path) -> None:
    with ray_nodes(2) as nodes:
        await _refuses_what_cannot_be(nodes, tmp_path)
        async with ClusterChaos(tmp_path, nodes, COUNT, seed=0) as chaos:
            await chaos.one_run(["actor", "raylet"])
            while FULL and sum(chaos.report.kills.values()) < 50:
                await chaos.one_run(chaos.some_kinds(5))
            print(f"cluster chaos: {chaos.report}")
    assert sum(chaos.report.kills.values()) >= (50 if FULL else 1)


async def _refuses_what_cannot_be(nodes: Nodes, folder: Path) -> None:
    with pytest.raises(ConfigError, match="3 samplers of 1 CPUs do not fit on the cluster's 2 CPUs"):
        await sample_on_ray(
            work(), tasks(1), folder / "r", shared=str(folder / "s"), address=nodes.address, samplers=3
        )
    if not FULL:
        return
    # A folder in the memory of one process is what a path is that is not mounted: every node has its own.
    with pytest.raises(ConfigError, match="does not see the shared folder memory://alone"):
        await sample_on_ray(
            work(), tasks(1), folder / "r", shared="memory://alone", address=nodes.address, samplers=1
        )
    assert not (folder / "r").exists()


async def test_what_is_no_cluster_is_named_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answering = asyncio.to_thread(_answer_as_a_web_server, other)
        refused = _refused(tmp_path, f"127.0.0.1:{port}", "something answers at .*, and it is no Ray cluster")
        await asyncio.gather(answering, refused)
    await _refused(tmp_path, f"127.0.0.1:{port}", f"no Ray cluster answers at 127.0.0.1:{port}")
    await _refused(tmp_path, "ray://127.0.0.1:10001", "is for Ray's client")
    assert list(tmp_path.iterdir()) == []


def _answer_as_a_web_server(server: socket.socket) -> None:
    server.settimeout(30)
    connection, _ = server.accept()
    with connection:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n")


async def _refused(folder: Path, address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await sample_on_ray(work(), tasks(1), folder / "r", shared=str(folder / "s"), address=address)


def test_another_ray_or_python_than_the_clusters_is_named() -> None:
    from ray._private.utils import check_version_info

    with pytest.raises(RuntimeError) as raised:
        check_version_info({"ray_version": "2.9.1", "python_version": "3.9.2"}, "10.0.0.7")
    said = _why(str(raised.value))
    assert said.startswith("it runs Ray 2.9.1 on Python 3.9.2, and this machine has Ray ")
    assert platform.python_version() in said and "\n" not in said
