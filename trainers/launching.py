"""How a trainer's process is started: by itself, or as many of them, on many devices or machines."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from rro_sdk.errors import ConfigError
from trainers.nodes import Nodes, processes_on_each
from trainers.settings import TrainSettings

__all__ = ["CONFIGS", "ON_CPU", "command", "command_on_node", "find_config", "machine_of"]

CONFIGS = Path(__file__).parent / "configs"
"""The configurations that are shipped, each a file `NAME.yaml` as `accelerate config` writes them."""

ON_CPU = "cpu"
"""Processes on CPUs, by torch's own launcher: accelerate would start them by MPI."""

_CPU_PROCESSES = 2


def command(settings: TrainSettings, nodes: Nodes | None = None) -> list[str]:
    """What to run; settings file, work folder and log follow.

    Raises:
        ConfigError: `settings.launch` is neither a file nor the name of a shipped configuration, or cannot be
            launched on these nodes.
    """
    module = f"trainers.{settings.method}"
    if nodes is not None:
        processes_on_each(settings, nodes)
        if settings.launch != ON_CPU:
            find_config(str(settings.launch))
        return [
            sys.executable,
            "-m",
            "trainers.on_nodes",
            msgspec.json.encode(nodes).decode(),
            settings.method,
        ]
    if settings.launch is None:
        return [sys.executable, "-m", module]
    if settings.launch == ON_CPU:
        count = settings.processes or _CPU_PROCESSES
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        return [sys.executable, "-m", *launcher, "-m", module]
    launcher = ["accelerate.commands.launch", "--config_file", str(find_config(settings.launch))]
    if settings.processes is not None:
        launcher += ["--num_processes", str(settings.processes)]
    return [sys.executable, "-m", *launcher, "-m", module]


def command_on_node(settings: TrainSettings, nodes: Nodes, rank: int, host: str, port: int) -> list[str]:
    """What to run on one of several nodes; settings file, work folder and log follow.

    Args:
        settings: with a `launch`.
        nodes: all of them.
        rank: of this one, from 0.
        host, port: where the first node listens for the others.

    Raises:
        ConfigError: as `command`; a file of your own must be there on every node.
    """
    each = processes_on_each(settings, nodes)
    if settings.launch == ON_CPU:
        launcher = [
            "torch.distributed.run",
            *(f"--nnodes={nodes.count}", f"--node-rank={rank}", f"--nproc-per-node={each}"),
            *(f"--master-addr={host}", f"--master-port={port}"),
        ]
    else:
        launcher = [
            *("accelerate.commands.launch", "--config_file", str(find_config(str(settings.launch)))),
            *("--num_machines", str(nodes.count), "--machine_rank", str(rank)),
            *("--num_processes", str(nodes.count * each)),
            *("--main_process_ip", host, "--main_process_port", str(port)),
            *("--deepspeed_multinode_launcher", "standard"),  # each node starts its own, none by ssh
        ]
    return [sys.executable, "-m", *launcher, "-m", f"trainers.{settings.method}"]


def machine_of(settings: TrainSettings) -> int:
    """Which of several machines this is, from 0, by its copy of the launch's configuration.

    Raises:
        ConfigError: that file cannot be read.
    """
    if settings.launch is None or settings.launch == ON_CPU:
        return 0
    import msgspec.yaml

    path = find_config(settings.launch)
    try:
        found = msgspec.yaml.decode(path.read_bytes())
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigError(f"cannot read the launch configuration {path}: {error}") from None
    rank = found.get("machine_rank", 0) if isinstance(found, dict) else None
    if not isinstance(rank, int) or rank < 0:
        raise ConfigError(f"{path}: machine_rank must be a whole number from 0")
    return rank


def find_config(name: str) -> Path:
    """The file of a configuration, by its path or by the name of a shipped one.

    Raises:
        ConfigError: there is none; lists the names.
    """
    for path in (CONFIGS / f"{name}.yaml", Path(name)):
        if path.is_file():
            return path.absolute()
    names = ", ".join([ON_CPU, *sorted(path.stem for path in CONFIGS.glob("*.yaml"))])
    raise ConfigError(f"launch is {name!r}: give a file that accelerate config wrote, or one of {names}")
