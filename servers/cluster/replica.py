"""One rank of one server, on its node: what a Ray actor does, without Ray.

The first rank is a whole server, started and watched as on one machine (`servers.sglang`). The others of a
server that spans nodes answer no requests: they are processes that must live.

Keys come in a call's arguments, and go on through a pipe: never in a command line or an environment.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import httpx2

from rro_sdk.errors import ConfigError, RROError, ServerError
from servers.cluster.layout import rank_arguments, reached_at
from servers.cluster.succession import Weights
from servers.ports import reserve, url_of
from servers.process import SupervisedProcess
from servers.settings import ServerSettings, find_python
from servers.sglang import SGLangServers, launch

LOOK_TIMEOUT_S = 15.0
"""Of one question to the server: it is answered between two batches."""

PORT_WAIT_S = 30.0
"""How long the port of a server that was lost may take to come free: longer than what ends its processes."""

PORT_LOOK_S = 0.5


@dataclass(frozen=True)
class Hello:
    """What an actor says of itself: its node's address and id, its rro-sdk, and whether it sees the model."""

    node: str
    node_id: str
    sdk: str
    sees_model: bool


@dataclass(frozen=True)
class Start:
    """What one rank is started with.

    Attributes:
        settings: of the server.
        weights: to begin with.
        host: to listen on.
        port: to listen on, if it can be had; None for any.
        rank, ranks: of this node among the server's.
        meet: where its ranks meet: address and port of the first.
    """

    settings: ServerSettings
    weights: Weights
    host: str
    port: int | None
    rank: int = 0
    ranks: int = 1
    meet: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Started:
    """A rank that runs; of the first one the server became ready.

    Attributes:
        url: where it is reached from other nodes.
        port, pid, log: of the server's process.
        ready_s: from the start to the first token.
    """

    url: str
    port: int
    pid: int
    log: Path
    ready_s: float


@dataclass(frozen=True)
class Look:
    """A rank at one moment.

    Attributes:
        why: why it does not run, if it does not.
        weights: what its server says that it serves; None where it said nothing in time, and of other ranks.
    """

    why: str | None = None
    weights: Weights | None = None


class Replica:
    """See the module. `start` blocks; `look` and `stop` may be called from other threads.

    Args:
        node: address of the node.
        node_id: what the cluster calls it.
    """

    def __init__(self, node: str, node_id: str = "") -> None:
        self._node, self._node_id = node, node_id
        self._servers: SGLangServers | None = None
        self._process: SupervisedProcess | None = None
        self._settings: ServerSettings | None = None
        self._url = ""
        self._logs: Path | None = None
        self._stopped = threading.Event()
        self._starting = threading.Lock()

    def hello(self, model: str) -> Hello:
        """Where this is, and whether a checkpoint can be read from here."""
        try:
            sdk = metadata.version("rro-sdk")
        except metadata.PackageNotFoundError:
            sdk = "none"
        return Hello(self._node, self._node_id, sdk, (Path(model) / "config.json").is_file())

    def free_port(self) -> int:
        """A port of this node that nobody has now."""
        (found,) = reserve(self._node, None, 1)
        found.close()
        return found.port

    def start(self, start: Start) -> Started:
        """Start the rank; of the first one, wait until its server has generated a token.

        Raises:
            RROError: it cannot be started here, or was not ready in time.
        """
        meet = rank_arguments(start.rank, start.ranks, *start.meet)
        settings = replace(
            start.settings,
            model=Path(start.weights.path),
            weight_version=start.weights.version,
            host=start.host,
            port=self._port(start.host, start.port),
            extra_args=(*start.settings.extra_args, *meet),
        )
        if start.rank:
            return self._start_rank(settings, start.rank)
        servers = SGLangServers(settings)
        self._servers, self._settings = servers, settings
        with self._starting:
            if self._stopped.is_set():
                raise ServerError(f"node {self._node}: told to stop before the start")
            servers.start()
        (running,) = servers.servers
        self._url = running.url
        port = int(running.url.rpartition(":")[2])
        return Started(
            url_of(reached_at(start.host, self._node), port), port, running.pid, running.log, running.ready_s
        )

    def look(self) -> Look:
        """Whether it runs, and what it serves."""
        if self._process is not None:
            code = self._process.poll()
            return Look() if code is None else Look(f"exit code {code}; {self._process.tail()}")
        if self._servers is None or self._settings is None:
            return Look()  # not started yet
        try:
            self._servers.check()
        except ServerError as error:
            return Look(str(error))
        key = self._settings.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with httpx2.Client(trust_env=False, timeout=LOOK_TIMEOUT_S) as client:
                info = client.get(f"{self._url}/model_info", headers=headers).json()
            return Look(weights=Weights(str(info["model_path"]), str(info.get("weight_version", ""))))
        except (httpx2.HTTPError, ValueError, KeyError):  # too busy to say
            return Look()

    def stop(self) -> None:
        """End it and everything it started. Safe to call twice, and while it starts."""
        self._stopped.set()
        if self._servers is not None:
            self._servers.cancel()
            with self._starting:  # which ends by itself then
                self._servers.stop()
        if self._process is not None:
            self._process.stop()
        if self._logs is not None:
            shutil.rmtree(self._logs, ignore_errors=True)

    def _start_rank(self, settings: ServerSettings, rank: int) -> Started:
        began = time.monotonic()
        (held,) = reserve(settings.host, settings.port, 1)
        folder = settings.log_dir
        if folder is None:
            folder = self._logs = Path(tempfile.mkdtemp(prefix="rro-sglang-"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            log = folder / f"rank-{rank}-{held.port}.log"
            self._process = launch(settings, find_python(settings.python), held.port, log)
        finally:
            held.close()
        return Started("", held.port, self._process.pid, log, time.monotonic() - began)

    def _port(self, host: str, wanted: int | None) -> int | None:
        """The port that is wanted once it is free, or None where it stays taken."""
        deadline = time.monotonic() + PORT_WAIT_S
        while wanted is not None:
            try:
                (held,) = reserve(host, wanted, 1)
            except ConfigError:
                if time.monotonic() > deadline or self._stopped.wait(PORT_LOOK_S):
                    return None
            else:
                held.close()
                break
        return wanted


class Failed:
    """An error of ours, sent as a result: Ray would wrap it."""

    def __init__(self, error: RROError) -> None:
        self.error = error


class ReplicaActor:
    """A `Replica` in a process of its own, which is what keeps its server alive."""

    def __init__(self) -> None:
        import ray

        self._replica = Replica(ray.util.get_node_ip_address(), ray.get_runtime_context().get_node_id())

    def hello(self, model: str) -> Hello:
        return self._replica.hello(model)

    def free_port(self) -> int:
        return self._replica.free_port()

    def start(self, start: Start) -> Started | Failed:
        try:
            return self._replica.start(start)
        except RROError as error:
            return Failed(error)

    def look(self) -> Look:
        return self._replica.look()

    def stop(self) -> None:
        self._replica.stop()
