"""Nodes of a Ray cluster that one training is spread over, and whether the cluster has them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rro_sdk.errors import ConfigError
from trainers.settings import TrainSettings

__all__ = ["Nodes", "Room", "processes_on_each", "refuse_too_few"]

_NAMED = 4
"""Nodes that an error lists."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What a training takes of a cluster.

    Attributes:
        count: nodes, each with its share of the processes.
        gpus: of each, and as many processes; 0 trains on CPUs.
        cpus: of each.
        address: of the cluster; None starts Ray on this machine, which is one node.
        wait_s: how long others may hold what is asked for.
    """

    count: int
    gpus: int = 0
    cpus: int = 1
    address: str | None = None
    wait_s: float = 600.0

    def __post_init__(self) -> None:
        for name, low in (("count", 1), ("gpus", 0), ("cpus", 1)):
            value = getattr(self, name)
            if value < low:
                raise ConfigError(f"{name} of the nodes to train on is {value}: it must be at least {low}")
        if not (math.isfinite(self.wait_s) and self.wait_s > 0):
            raise ConfigError(f"nodes cannot be waited for {self.wait_s} s")


@dataclass(frozen=True)
class Room:
    """All that a node of the cluster has, taken or not."""

    node: str
    cpus: float
    gpus: float


def processes_on_each(settings: TrainSettings, nodes: Nodes) -> int:
    """How many processes a node runs.

    Raises:
        ConfigError: `settings` cannot be launched on such nodes.
    """
    if settings.launch is None:
        raise ConfigError(
            f"launch is missing, and the training is to be on {nodes.count} nodes: give fsdp, another"
            " configuration of accelerate, or cpu"
        )
    if (settings.launch == "cpu") != (nodes.gpus == 0):
        raise ConfigError(
            f"launch is {settings.launch!r} and each node gives {nodes.gpus} GPUs to the training:"
            " take cpu for nodes without GPUs, and another launch configuration for GPUs"
        )
    each = nodes.gpus or (settings.processes or nodes.count) // nodes.count
    if each < 1 or settings.processes not in (None, each * nodes.count):
        raise ConfigError(
            f"processes is {settings.processes}: {nodes.count} nodes run"
            f" {f'one for each of their {nodes.gpus} GPUs' if nodes.gpus else 'equally many'}"
        )
    return each


def refuse_too_few(nodes: Nodes, there: Sequence[Room]) -> None:
    """Raise where the cluster could not give the nodes even if all of it were free.

    Raises:
        ConfigError: says what is asked for and what is there.
    """
    fit = [each for each in there if each.cpus >= nodes.cpus and each.gpus >= nodes.gpus]
    if len(fit) >= nodes.count:
        return
    having = [
        f"{each.node}: {each.gpus:g} GPUs, {each.cpus:g} CPUs" for each in there if each.cpus or each.gpus
    ]
    more = f", and {len(having) - _NAMED} more" if len(having) > _NAMED else ""
    raise ConfigError(
        f"training asks for {nodes.count} nodes with {nodes.gpus} GPUs and {nodes.cpus} CPUs each, and the"
        f" cluster has {len(fit)} of them ({'; '.join(having[:_NAMED]) or 'no node with any'}{more});"
        " ask for fewer, or add nodes"
    )
