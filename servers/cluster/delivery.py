"""Copies of a checkpoint on the nodes of a Ray cluster.

Each piece is put into Ray's object store once and read from there by every node, so that nodes pass pieces on
to each other. This process must have joined the cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rro_sdk.errors import CheckpointError, RROError
from servers.cluster.replica import Failed
from servers.cluster.staging import Manifest, Receiver, manifest_of, pieces_of

PIECES_UNDER_WAY = 4
"""As many as keep nodes busy while the next is read; times their size, what the object store must hold."""

CALL_S = 600.0
"""Of one call: the longest hashes a whole copy."""


class ReceiverActor:
    """A `Receiver` on a node. Calls of one actor come one after another."""

    def __init__(self, stage: str, manifest: Manifest) -> None:
        import ray

        self._receiver = Receiver(f"node {ray.util.get_node_ip_address()}", Path(stage), manifest)

    def begin(self) -> bool | Failed:
        try:
            return self._receiver.begin()
        except RROError as error:
            return Failed(error)

    def put(self, name: str, piece: bytes) -> Failed | None:
        try:
            self._receiver.put(name, piece)
        except RROError as error:
            return Failed(error)
        return None

    def finish(self) -> Failed | None:
        try:
            self._receiver.finish()
        except RROError as error:
            return Failed(error)
        return None

    def abandon(self) -> None:
        self._receiver.abandon()


def stage_checkpoint(checkpoint: Path, stage: Path, node_ids: Sequence[str] | None = None) -> Path:
    """Copy a checkpoint to nodes' own disks, and to this machine's, so that reloads can compare it here.

    A node that has the copy is not sent it again; what it has is hashed.

    Args:
        checkpoint: folder on this machine.
        stage: folder for copies, the same path everywhere.
        node_ids: of the nodes; by default those with GPUs, or all where none has.

    Returns:
        Where the copy is, on each node and here.

    Raises:
        CheckpointError: the checkpoint cannot be read, a node cannot take it, or what arrived there is not
            what was sent; the node is named, and no part of a copy is left.
    """
    manifest = manifest_of(checkpoint)
    if checkpoint.absolute().parent == stage.absolute():  # a copy itself
        manifest = replace(manifest, name=checkpoint.name)
    else:
        _receive_here(checkpoint, stage, manifest)
    send_copies(checkpoint, manifest, stage, serving_nodes() if node_ids is None else node_ids)
    return stage / manifest.name


def send_copies(checkpoint: Path, manifest: Manifest, stage: Path, node_ids: Sequence[str]) -> None:
    """Copy a checkpoint to these nodes, as its manifest says that it is.

    Raises:
        CheckpointError: as `stage_checkpoint`.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actors = [
        ray.remote(ReceiverActor)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))
        .remote(str(stage), manifest)
        for node_id in node_ids
    ]
    try:
        needed = _all([actor.begin.remote() for actor in actors])
        takers = [actor for actor, wants in zip(actors, needed, strict=True) if wants]
        if takers:
            _send(takers, checkpoint, manifest)
            _all([actor.finish.remote() for actor in takers])
    except BaseException:  # an interrupt too must leave no half of a copy
        ray.wait([actor.abandon.remote() for actor in actors], num_returns=len(actors), timeout=10.0)
        raise
    finally:
        for actor in actors:
            ray.kill(actor)


def serving_nodes() -> list[str]:
    """Ids of the nodes that are up and have GPUs; of all, where none has."""
    import ray

    alive = [row for row in ray.nodes() if row["Alive"]]
    return [str(row["NodeID"]) for row in alive if row["Resources"].get("GPU")] or [
        str(row["NodeID"]) for row in alive
    ]


def _send(actors: Sequence[Any], source: Path, manifest: Manifest) -> None:
    import ray

    under_way: deque[list[Any]] = deque()
    for name, piece in pieces_of(source, manifest):
        kept = ray.put(piece)
        under_way.append([actor.put.remote(name, kept) for actor in actors])
        if len(under_way) >= PIECES_UNDER_WAY:
            _all(under_way.popleft())
    for calls in under_way:
        _all(calls)


def _all(calls: Sequence[Any]) -> list[Any]:
    """The results of a call of each actor.

    Raises:
        CheckpointError: the first that failed.
    """
    import ray

    try:
        results = ray.get(list(calls), timeout=CALL_S)
    except ray.exceptions.RayError as error:
        line = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"a node was lost while the checkpoint was copied to it: {line}") from None
    for result in results:
        if isinstance(result, Failed):
            raise result.error
    return list(results)


def _receive_here(source: Path, stage: Path, manifest: Manifest) -> None:
    receiver = Receiver("this machine", stage, manifest)
    if not receiver.begin():
        return
    try:
        for name, piece in pieces_of(source, manifest):
            receiver.put(name, piece)
        receiver.finish()
    finally:
        receiver.abandon()
