"""Servers on a real Ray cluster of this machine: refused, placed, asked, reloaded, killed, made anew, gone.

The servers are fake ones behind everything that starts SGLang; the GPUs are a number that Ray is told.
RRO_CHAOS=full (`make chaos-cluster`): a node is lost too, a start fails, and a server spans two nodes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from rro_sdk.cluster.joining import joined
from rro_sdk.errors import CheckpointError, ConfigError, ServerStartError
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.cluster import Layout, RayServers, stage_checkpoint
from servers.cluster.delivery import send_copies, serving_nodes
from servers.cluster.staging import FileSum, manifest_of
from servers.settings import ServerSettings
from tests.checkpoints import write_checkpoint
from tests.cluster.nodes import Nodes, ray_nodes
from tests.servers.processes import exists, until

# Not importorskip: Ray reads its time-outs when it is imported, and `ray_nodes` sets them.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the [ray] extra")

FULL = os.environ.get("RRO_CHAOS") == "full"
PROGRAM = Path(__file__).with_name("cluster_program.py")
RRO = [sys.executable, "-c", "from rro_sdk.cli import main; main()"]
USER, ADMIN = "user-key-4711", "admin-key-4712"
PATIENCE_S = 120.0


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """What stands in for SGLang's interpreter; it leaves what it was told in `state`."""
    (tmp_path / "state").mkdir()
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{PROGRAM}" "{tmp_path / "state"}" "$@"\n')
    script.chmod(0o755)
    return script


class Served:
    """`rro serve --engine ray` as a user runs it, and its list of servers."""

    def __init__(self, nodes: Nodes, folder: Path, python: Path, *arguments: str) -> None:
        self.list = folder / "urls.json"
        self._log = folder / "serve.log"
        ours = ("--address", nodes.address, "--urls", str(self.list), "--python", str(python))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*RRO, "serve", "--engine", "ray", *ours, *arguments],
                stdout=log,
                stderr=log,
                env={**os.environ, "RRO_API_KEY": USER, "RRO_ADMIN_API_KEY": ADMIN},
            )

    def servers(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = json.loads(self.list.read_bytes())["servers"]
        except FileNotFoundError:
            return []
        return found

    def has(self, count: int, *, without: int = 0) -> bool:
        """Whether so many serve, none of them as the process `without`."""
        assert self.process.poll() is None, self._log.read_text()
        pids = [server["pid"] for server in self.servers()]
        return len(pids) == count and without not in pids

    def until(self, count: int, *, without: int = 0) -> list[dict[str, Any]]:
        until(lambda: self.has(count, without=without), f"{count} servers", PATIENCE_S)
        return self.servers()

    def said(self) -> str:
        return self._log.read_text()


@contextmanager
def serving(nodes: Nodes, folder: Path, python: Path, *arguments: str) -> Iterator[Served]:
    served = Served(nodes, folder, python, *arguments)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait(20)


async def test_servers_on_a_cluster_from_their_start_to_the_end_of_their_keeper(
    tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's own is 15, and this machine has other work
    model = write_checkpoint(tmp_path / "model")
    with ray_nodes(0) as nodes:
        nodes.add(num_gpus=5)
        if FULL:
            nodes.add(num_gpus=5)
        nodes.ready()
        stage = tmp_path / "stage"
        with joined(nodes.address):
            _refuses_what_cannot_be(model, python, stage)
            _copies_match(model, stage)
            new = stage_checkpoint(write_checkpoint(tmp_path / "new", fill=1), stage)
        arguments = ["--model", str(model), "--servers", "2", "--tp", "2", "--stage", str(stage)]
        with serving(nodes, tmp_path, python, *arguments) as served:
            first, second = await asyncio.to_thread(served.until, 2)
            _placed_as_asked(tmp_path / "state", stage, first["pid"], second["pid"])
            _keys_are_nowhere_else(served.process.pid)
            if FULL:
                await asyncio.to_thread(_says_how_many_are_free, nodes, model, python)
            await _goes_on_through_losses(served, nodes, new)
            last = served.servers()
            served.process.send_signal(signal.SIGKILL)
            served.process.wait(20)
            gone = [each["pid"] for each in last]
            await asyncio.to_thread(
                until, lambda: not any(map(exists, gone)), "no server outlives its keeper", PATIENCE_S
            )
        if FULL:
            _spans_two_nodes(nodes, tmp_path, model, python)


def _refuses_what_cannot_be(model: Path, python: Path, stage: Path) -> None:
    settings = ServerSettings(model=model, python=python, startup_timeout_s=PATIENCE_S)
    with pytest.raises(
        ConfigError, match=r"40 servers of 2 GPUs each need 80 GPUs, and the cluster has \d+ \("
    ):
        RayServers(settings, Layout(servers=40, gpus=2, tp=2)).start()
    if not FULL:
        return
    (stage.parent / "state" / "broken").touch()
    servers = RayServers(settings, Layout(servers=2))
    with pytest.raises(ServerStartError, match="no such kernel"):
        servers.start()
    assert servers.urls == ()
    (stage.parent / "state" / "broken").unlink()
    began = len(list((stage.parent / "state").iterdir()))
    model.rename(model.with_name("elsewhere"))
    with pytest.raises(
        ConfigError, match=r"node \S+ does not see checkpoint .*/model; give a path that every"
    ):
        RayServers(settings, Layout(servers=2)).start()
    model.with_name("elsewhere").rename(model)
    assert len(list((stage.parent / "state").iterdir())) == began  # nothing was started


def _copies_match(checkpoint: Path, stage: Path) -> None:
    """Nodes are sent copies, and one that is not what was to be sent is refused."""
    everywhere = serving_nodes()
    manifest = manifest_of(checkpoint)
    files = {**manifest.files, "config.json": FileSum(1, "0" * 64)}
    with pytest.raises(CheckpointError, match=r"config\.json of the copy .* on node .* and not 000000000000"):
        send_copies(checkpoint, replace(manifest, files=files), stage, everywhere)
    assert list(stage.iterdir()) == []
    send_copies(checkpoint, manifest, stage, everywhere)
    assert [path.name for path in stage.iterdir()] == [manifest.name]
    assert manifest_of(stage / manifest.name).files == manifest.files


def _says_how_many_are_free(nodes: Nodes, model: Path, python: Path) -> None:
    settings = ServerSettings(model=model, python=python, startup_timeout_s=1.0)
    with joined(nodes.address):
        with pytest.raises(
            ConfigError, match=r"found no place on the cluster in 1 s: \d GPUs are free now, and"
        ):
            RayServers(settings, Layout(servers=2, gpus=5)).start()


def _placed_as_asked(state: Path, stage: Path, *pids: int) -> None:
    """Each has two GPUs of its own, and the copy of the checkpoint."""
    told = [json.loads((state / f"{pid}.json").read_text()) for pid in pids]
    devices = [each["devices"].split(",") for each in told]
    assert [len(each) for each in devices] == [2, 2]
    assert FULL or len({device for each in devices for device in each}) == 4
    assert {Path(each["model"]).parent for each in told} == {stage}
    assert [each["tp"] for each in told] == [2, 2]


def _keys_are_nowhere_else(keeper: int) -> None:
    """No process shows the keys but the one that a user gave them to."""
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name in (str(keeper), str(os.getpid())):
            continue
        for name in ("cmdline", "environ"):
            try:
                shown = (folder / name).read_bytes()
            except OSError:  # it ended, or is another user's
                continue
            assert USER.encode() not in shown and ADMIN.encode() not in shown, (
                folder / "cmdline"
            ).read_bytes()


async def _goes_on_through_losses(served: Served, nodes: Nodes, new: Path) -> None:
    """Samplers that follow the list ask on, through a reload of all servers and the loss of some."""
    settings = FleetSettings(concurrency=4, api_key=USER, admin_api_key=ADMIN)
    async with Fleet([f"@{served.list}"], settings) as fleet, Transport(api_key=USER) as transport:
        await fleet.check()
        done: list[str] = []

        async def ask(number: int) -> None:
            while True:
                message = Message("user", f"question {number} {len(done)}")
                reply = await fleet.complete(ChatRequest(messages=(message,), model="m", temperature=1.0))
                done.append(reply.weight_versions[-1])
                await asyncio.sleep(0.01)

        asking = [asyncio.create_task(ask(number)) for number in range(4)]
        both = ReloadSettings(api_key=USER, admin_api_key=ADMIN)
        report = await reload_weights([f"@{served.list}"], new, both, gate=fleet)
        assert sorted(report.reloaded) == sorted(each["url"] for each in served.servers())
        victim = served.servers()[0]
        os.kill(victim["pid"], signal.SIGKILL)
        await asyncio.to_thread(served.until, 2, without=victim["pid"])
        if FULL:
            node = _node_of(served.servers()[0]["pid"], nodes)
            lost = [each["pid"] for each in served.servers() if _node_of(each["pid"], nodes) is node]
            nodes.kill(node)
            for pid in lost:
                await asyncio.to_thread(served.until, 2, without=pid)
            assert not any(map(exists, lost))
        found = {each["url"] for each in served.servers()}
        assert FULL or victim["url"] in found  # it kept its port
        for url in found:
            info = await Server(url, transport).model_info()
            assert (info.weight_version, info.model_path) == (report.weight_version, str(new))
        async with asyncio.timeout(PATIENCE_S):
            while set(fleet.limits) != found or not all(fleet.limits.values()):
                await asyncio.sleep(0.05)
        assert not any(task.done() for task in asking), [task for task in asking if task.done()]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert f"server 0 serves weight version {report.weight_version}" in served.said()
    assert done[-1] == report.weight_version


def _node_of(pid: int, nodes: Nodes) -> Any:
    """The node whose raylet is above a server: raylet, actor, supervisor, server."""
    above = {parent.pid for parent in psutil.Process(pid).parents()}
    (found,) = [each for each in nodes.samplers if each.all_processes["raylet"][0].process.pid in above]
    return found


def _spans_two_nodes(nodes: Nodes, folder: Path, model: Path, python: Path) -> None:
    """The lists of arguments reach both ranks; what SGLang makes of them was not run."""
    (folder / "two").mkdir()
    nodes.add(num_gpus=5)
    nodes.ready()
    across = ["--servers", "1", "--tp", "4", "--nodes-per-server", "2"]
    with serving(nodes, folder / "two", python, "--model", str(model), *across) as served:
        served.until(1)
        told = [json.loads(path.read_text()) for path in (folder / "state").glob("*.json")]
        ranks = [each["extra_args"] for each in told if "--nnodes" in each["extra_args"]]
        assert sorted(each[each.index("--node-rank") + 1] for each in ranks) == ["0", "1"]
        assert len({each[each.index("--dist-init-addr") + 1] for each in ranks}) == 1
