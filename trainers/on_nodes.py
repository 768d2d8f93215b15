"""One training on several nodes of Ray: `python -m trainers.on_nodes NODES METHOD ORDERS WORK LOG`.

Started by `trainers.process` in a trainer's place, and behaves as one: events on standard output, an exit
status, and an end when standard input closes. Each node has one Ray actor, which holds accelerate's launcher
there (`trainers.held`); nodes that a placement group reserved are this training's alone. The first node's
events are the training's; of the others only a failure is passed on. Where one ends badly all are ended, for
the others would wait for it until their collectives time out.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.cluster.joining import joined
from rro_sdk.errors import ConfigError, RROError, TrainingError
from trainers.events import Done, Event, Failed, decode, encode
from trainers.held import Held, Looked, Said
from trainers.leftovers import log_of_node
from trainers.nodes import Nodes, Room, refuse_too_few
from trainers.rows import file_sha256
from trainers.settings import DPOSettings, KTOSettings, RewardSettings, SFTSettings, TrainSettings

__all__ = ["main", "pass_on", "refuse_strangers", "room"]

POLL_S = 0.5
_KINDS: Mapping[str, type[TrainSettings]] = {
    kind.method: kind for kind in (SFTSettings, DPOSettings, KTOSettings, RewardSettings)
}
_log = logging.getLogger("trainers")


def main(argv: Sequence[str]) -> int:
    """Entry point; the parent learns the reason of an exit status from a `Failed` event."""
    nodes = msgspec.json.decode(argv[0], type=Nodes)
    orders, work, log = map(Path, argv[2:])
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # Ray prints
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True, name="end-with-parent").start()
    settings = _KINDS[argv[1]](**json.loads(orders.read_bytes()))
    try:
        with joined(nodes.address):
            refuse_too_few(nodes, room())
            _train(settings, nodes, (orders, work, log), lambda event: _send(out, event), stop)
    except RROError as error:
        _log.error("%s", error)
        _send(out, Failed(type(error).__name__, str(error)))
        return error.exit_code
    return 0


def room() -> list[Room]:
    """What each node of the joined cluster has."""
    import ray

    return [
        Room(each["NodeManagerAddress"], each["Resources"].get("CPU", 0.0), each["Resources"].get("GPU", 0.0))
        for each in ray.nodes()
        if each["Alive"]
    ]


def refuse_strangers(looked: Sequence[Looked], folder: Path) -> None:
    """Raise where a node cannot train with the others.

    Raises:
        ConfigError: a node does not see the folder, or has other packages than the first.
    """
    for each in looked:
        if not each.sees:
            raise ConfigError(
                f"node {each.node} does not see {folder}: the loop's folder must be at the same path on"
                " every node that trains"
            )
        for name, version in looked[0].versions.items():
            if each.versions.get(name) != version:
                raise ConfigError(
                    f"node {each.node} has {name} {each.versions.get(name, 'none')} and node {looked[0].node}"
                    f" {version}; install the same on every node"
                )


def pass_on(said: Said, rank: int, node: str, log: Path, send: Callable[[Event], None]) -> bool:
    """Tell the parent what a node said.

    Returns:
        Whether the node has ended well.

    Raises:
        TrainingError: it ended badly.
    """
    for line in said.lines:
        event = decode(line)
        if isinstance(event, Failed):
            raise _from_node(event, rank, node)
        if rank == 0:
            send(event)
    if said.status:
        raise TrainingError(f"the trainer on node {node} ended with status {said.status}: see {log}")
    return said.status == 0


def _train(
    settings: TrainSettings,
    nodes: Nodes,
    files: tuple[Path, Path, Path],
    send: Callable[[Event], None],
    stop: threading.Event,
) -> None:
    import ray

    orders, work, log = files
    group = _reserve(nodes, stop)
    actors = [_actor(nodes, group, rank) for rank in range(nodes.count)]
    try:
        digest = file_sha256(orders)
        looked = [Looked(*each) for each in _ask([each.look.remote(str(orders), digest) for each in actors])]
        refuse_strangers(looked, work.parent)
        logs = [log_of_node(log, rank) for rank in range(nodes.count)]
        for path in logs[1:]:
            path.unlink(missing_ok=True)
        first = (looked[0].node, looked[0].port)
        wrong = _ask(
            [
                actor.start.remote(settings, nodes, rank, first, [str(orders), str(work), str(logs[rank])])
                for rank, actor in enumerate(actors)
            ]
        )
        for error in wrong:
            if error is not None:
                raise error
        finished: list[Event] = []

        def keep(event: Event) -> None:
            # The parent takes the checkpoint when it hears this; until all have ended, some may still write.
            (finished.append if isinstance(event, Done) else send)(event)

        asked = {actor.read.remote(): rank for rank, actor in enumerate(actors)}
        while asked:
            if stop.is_set():
                raise TrainingError("training was stopped before it had a checkpoint")
            ready, _ = ray.wait(list(asked), num_returns=1, timeout=POLL_S)
            for reference in ready:
                rank = asked.pop(reference)
                said = Said(*_ask([reference])[0])
                if not pass_on(said, rank, looked[rank].node, logs[rank], keep):
                    asked[actors[rank].read.remote()] = rank
        for event in finished:
            send(event)
    finally:
        for actor in actors:
            ray.kill(actor)
        ray.util.remove_placement_group(group)


def _reserve(nodes: Nodes, stop: threading.Event) -> Any:
    """Nodes with what was asked for, each another one, held by nobody else."""
    import ray

    bundle = {"CPU": float(nodes.cpus), **({"GPU": float(nodes.gpus)} if nodes.gpus else {})}
    group = ray.util.placement_group([bundle] * nodes.count, strategy="STRICT_SPREAD")
    until = time.monotonic() + nodes.wait_s
    while not group.wait(timeout_seconds=POLL_S):
        if stop.is_set() or time.monotonic() > until:
            ray.util.remove_placement_group(group)
            if stop.is_set():
                raise TrainingError("training was stopped before it began")
            raise ConfigError(
                f"{nodes.count} nodes with {nodes.gpus} GPUs and {nodes.cpus} CPUs each were not free within"
                f" {nodes.wait_s:g} s: servers or others hold them; let servers and the trainer have GPUs of"
                " their own, or share_device"
            )
    return group


def _actor(nodes: Nodes, group: Any, rank: int) -> Any:
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return (
        ray.remote(_HeldOnNode)
        .options(
            num_cpus=nodes.cpus,
            num_gpus=nodes.gpus,
            max_restarts=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
        )
        .remote()
    )


class _HeldOnNode(Held):
    """A `Held` that knows its node's address."""

    def look(self, orders: str, digest: str) -> Looked:  # type: ignore[override]
        import ray

        return super().look(ray.util.get_node_ip_address(), orders, digest)


def _ask(references: Sequence[Any]) -> list[Any]:
    import ray

    try:
        found: list[Any] = ray.get(list(references))
    except ray.exceptions.RayTaskError as error:
        raise TrainingError(
            f"a node could not start its trainers ({type(error.cause).__name__}): see the cluster's logs"
        ) from error
    except ray.exceptions.RayError as error:  # its process, its node or its memory
        raise TrainingError(
            "a node that trains was lost; run it again (with save_every it goes on from the last state)"
        ) from error
    return found


def _from_node(event: Failed, rank: int, node: str) -> RROError:
    return event.error() if rank == 0 else Failed(event.kind, f"on node {node}: {event.message}").error()


def _send(out: Any, event: Event) -> None:
    with suppress(BrokenPipeError):  # the parent is gone, and all is ended
        out.write(encode(event))


def _end_with_parent(stop: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
