"""Ray nodes on this machine: as many raylets as wanted, each a node of its own to Ray.

Ray's own time-outs suppose a machine with cores to spare; a raylet even ends its node after 15 s in which a
helper of it did not start, unless it is told the helper's ports.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

PATIENCE = {
    "RAY_worker_niceness": "0",  # its own 15 would starve samplers beside whatever else runs here
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_gcs_server_port_wait_time_s": "300",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_health_check_period_ms": "500",  # a killed node is missed in seconds; a slow one has 10 to answer
}
OBJECT_STORE = 80 * 1024 * 1024
START_S = 300.0
HELPERS = (
    "metrics_agent_port",
    "metrics_export_port",
    "runtime_env_agent_port",
    "dashboard_agent_listen_port",
)


class Nodes:
    """A cluster of this machine. The first node holds what a head holds, and no samplers."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        self._ports = _free_ports()
        self.samplers: list[Any] = []
        self._cluster.add_node(num_cpus=0, include_dashboard=False, **self._settings())

    @property
    def address(self) -> str:
        found: str = self._cluster.address
        return found

    def add(self, **settings: Any) -> Any:
        """Another node, with one CPU."""
        node = self._cluster.add_node(wait=False, num_cpus=1, **{**self._settings(), **settings})
        self.samplers.append(node)
        return node

    def ready(self) -> None:
        self._cluster.wait_for_nodes(timeout=START_S)

    def kill(self, node: Any) -> None:
        """All of a node at once, as a power cut would."""
        self.samplers.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()

    def _settings(self) -> dict[str, Any]:
        return {"object_store_memory": OBJECT_STORE, **{name: next(self._ports) for name in HELPERS}}


@contextmanager
def ray_nodes(count: int) -> Iterator[Nodes]:
    """So many nodes with one CPU each, for the length of the block."""
    before = {name: os.environ.get(name) for name in PATIENCE}
    os.environ.update(PATIENCE)
    with ExitStack() as stack:
        stack.callback(_restore, before)
        nodes = Nodes()
        stack.callback(nodes.close)
        for _ in range(count):
            nodes.add()
        nodes.ready()
        yield nodes


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _free_ports() -> Iterator[int]:
    """Each once, below those that the system gives to whoever asks: a helper binds its port seconds later."""
    for port in range(20_000 + os.getpid() % 100 * 100, 32_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
