"""The loop's Ray cluster: joined while the loop runs, refused where it is too small for what is asked.

Sampling and training are never at the same time. Servers are beside both, unless they share the trainer's
devices: then they end before a training begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rro_sdk.cluster.joining import joined
from rro_sdk.errors import ConfigError
from trainers.iterate.config import Config
from trainers.nodes import Nodes, Room, refuse_too_few
from trainers.on_nodes import room

__all__ = ["on_cluster", "refuse_crowding", "samplers_of"]


@contextmanager
def on_cluster(config: Config) -> Iterator[Nodes | None]:
    """Join the cluster, if anything is done there, and see that it is large enough.

    Returns:
        The nodes that trainers run on; None where they run here.

    Raises:
        ConfigError: no cluster answers, or it has less than what is asked for.
    """
    if not config.on_ray:
        yield None
        return
    with joined(config.cluster.address):
        import ray

        there, nodes = room(), config.cluster.nodes
        if nodes is not None:
            refuse_too_few(nodes, there)
            # One that was started here has an address too, by which a trainer's own process joins it.
            address = config.cluster.address or ray.get_runtime_context().gcs_address
            nodes = replace(nodes, address=address)
        refuse_crowding(config, there)
        yield nodes


def samplers_of(config: Config, there: Sequence[Room] | None = None) -> int:
    """How many samplers explore; `there`: the nodes of the joined cluster, where they are known."""
    if config.cluster.samplers is not None:
        return config.cluster.samplers
    cpus = sum(each.cpus for each in (room() if there is None else there))
    return max(1, int(cpus) - _of_servers(config)[1])


def refuse_crowding(config: Config, there: Sequence[Room]) -> None:
    """Raise where servers, samplers and trainers together ask for more than the cluster has.

    Raises:
        ConfigError: says who asks for what, and what is there.
    """
    gpus, cpus = sum(each.gpus for each in there), sum(each.cpus for each in there)
    server_gpus, server_cpus = _of_servers(config)
    nodes = config.cluster.nodes
    train_gpus, train_cpus = (nodes.count * nodes.gpus, nodes.count * nodes.cpus) if nodes else (0, 0)
    beside = not config.servers.share_device
    asked = server_gpus + train_gpus if beside else max(server_gpus, train_gpus)
    if asked > gpus:
        together = "one after the other" if not beside else "at the same time"
        raise ConfigError(
            f"servers ask for {server_gpus} GPUs and a training for {train_gpus}, {together}, and the cluster"
            f" has {gpus:g}: ask for fewer, add nodes, or let them share devices with share_device"
        )
    samplers = samplers_of(config, there) if config.sample.engine == "ray" else 0
    trained = server_cpus + train_cpus if beside else max(server_cpus, train_cpus)
    if max(server_cpus + samplers, trained) > cpus:
        raise ConfigError(
            f"servers ask for {server_cpus} CPUs, {samplers} samplers for one each and a training for"
            f" {train_cpus}, and the cluster has {cpus:g}: ask for fewer, or add nodes"
        )


def _of_servers(config: Config) -> tuple[int, int]:
    """GPUs and CPUs that the loop's own servers take of the cluster (`servers.cluster.Layout`)."""
    table = config.servers
    if table.urls or table.engine != "ray":
        return 0, 0
    count = table.start or 1
    return count * table.gpus_of_each, 0 if table.gpus_of_each else count
