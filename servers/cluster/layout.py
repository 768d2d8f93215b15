"""Where servers go on a cluster: what each needs, whether the nodes have it, and what they are told. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rro_sdk.errors import ConfigError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Node:
    """A node that is up: its address and what it has."""

    address: str
    gpus: float = 0.0
    cpus: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many servers, and what each takes.

    Attributes:
        servers: how many.
        gpus: of each server, on all of its nodes together; 0 serves on CPUs.
        nodes: that each server spans; more than one is tensor parallelism across nodes.
        tp: tensor-parallel ranks of each server.
    """

    servers: int = 1
    gpus: int = 1
    nodes: int = 1
    tp: int = 1

    def __post_init__(self) -> None:
        for name in ("servers", "nodes", "tp"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.gpus < 0:
            raise ConfigError(f"gpus of a server must be 0 or more, not {self.gpus}")
        if self.gpus % self.nodes:
            raise ConfigError(f"{self.gpus} GPUs cannot be shared out evenly over {self.nodes} nodes")
        if self.tp % self.nodes:
            raise ConfigError(f"{self.tp} tensor-parallel ranks cannot be shared out over {self.nodes} nodes")
        if 0 < self.gpus < self.tp:
            raise ConfigError(f"{self.tp} tensor-parallel ranks need as many GPUs, not {self.gpus}")

    @property
    def resource(self) -> str:
        """What limits how many servers a node takes."""
        return "GPU" if self.gpus else "CPU"

    @property
    def bundle(self) -> dict[str, float]:
        """What one server takes of one node, as Ray counts it.

        Servers on GPUs are counted by their GPUs alone: their CPUs stay free for samplers.
        """
        return {"GPU": self.gpus // self.nodes} if self.gpus else {"CPU": 1}


def refuse_shortage(layout: Layout, nodes: Sequence[Node]) -> None:
    """Raise where the cluster cannot hold the servers, whatever else runs on it.

    Raises:
        ConfigError: says what is asked for and what is there.
    """
    room = [int(_has(layout, node) // layout.bundle[layout.resource]) for node in nodes]
    if fits(room, layout.servers, layout.nodes):
        return
    each = layout.gpus or layout.nodes
    unit = f"{layout.resource}s"
    one = layout.resource if each == 1 else unit
    had = sum(_has(layout, node) for node in nodes)
    spread = ", ".join(f"{_has(layout, node):g} on {node.address}" for node in nodes if _has(layout, node))
    across = f" across {layout.nodes} nodes" if layout.nodes > 1 else ""
    hint = "; without GPUs, give --device cpu" if layout.gpus and not had else ""
    raise ConfigError(
        f"{layout.servers} servers of {each} {one} each{across} need {layout.servers * each} {unit}, and the"
        f" cluster has {had:g}{f' ({spread})' if spread else ''}: ask for fewer, or add nodes{hint}"
    )


def fits(room: Sequence[int], servers: int, nodes: int) -> bool:
    """Whether so many servers, each on so many different nodes, find room.

    A node gives a server one place at most, so no node is of use for more places than there are servers; and
    where the places that are left suffice, they can always be dealt out (the fullest nodes first).

    Args:
        room: places on each node.
        servers: how many.
        nodes: that each spans.
    """
    return sum(min(places, servers) for places in room) >= servers * nodes


def listens_on(asked: str | None, node: str, nodes: Sequence[Node]) -> str:
    """The address that a server on this node listens on: `asked`, else loopback where all nodes are one
    machine, else the node's own."""
    if asked is not None:
        return asked
    return LOOPBACK if len({each.address for each in nodes}) <= 1 else node


def reached_at(host: str, node: str) -> str:
    """The address at which a server that listens on `host` is reached from other machines."""
    return node if host in ("0.0.0.0", "::") else host


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def rank_arguments(rank: int, nodes: int, head: str, port: int) -> tuple[str, ...]:
    """What SGLang is told of a server that spans nodes; nothing for one that does not.

    Args:
        rank: of this node among those of the server; the first one answers requests.
        nodes: of the server.
        head: address of the first one.
        port: at which its ranks meet.
    """
    if nodes == 1:
        return ()
    meet = f"[{head}]:{port}" if ":" in head else f"{head}:{port}"
    return ("--nnodes", str(nodes), "--node-rank", str(rank), "--dist-init-addr", meet)


def node_of(row: Mapping[str, object]) -> Node:
    """A node as `ray.nodes()` tells of it."""
    resources = row.get("Resources")
    has = resources if isinstance(resources, Mapping) else {}
    return Node(
        str(row["NodeManagerAddress"]), gpus=float(has.get("GPU", 0.0)), cpus=float(has.get("CPU", 0.0))
    )


def _has(layout: Layout, node: Node) -> float:
    return node.gpus if layout.gpus else node.cpus
