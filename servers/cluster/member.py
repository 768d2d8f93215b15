"""One server of a cluster through all of its lives: placed, started, serving, lost, and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rro_sdk.errors import ConfigError, RROError
from servers.cluster.delivery import stage_checkpoint
from servers.cluster.layout import Layout, Node, listens_on, node_of
from servers.cluster.replica import PORT_WAIT_S, Failed, Hello, Look, ReplicaActor, Start, Started
from servers.cluster.succession import Losses, Seen, Weights
from servers.settings import ServerSettings

HUNG_S = 180.0
"""Without an answer of a server that runs: SGLang's own watchdog ends one that computes nothing before."""

START_MARGIN_S = 60.0
"""What a start may take beyond the server's own time-out: for an actor on a busy node to say so."""

_WORDS = 200
"""Characters of a cause that Ray tells."""

Phase = Literal["placing", "placed", "meeting", "starting", "serving", "resting", "given up"]


class Lost(Exception):
    """A server is gone, or could not be started; `error` is ours, where we raised one."""

    def __init__(self, why: str, error: RROError | None = None) -> None:
        super().__init__(why)
        self.error = error


class _Call:
    """A call of each of some actors that is under way."""

    def __init__(self, calls: Sequence[Any], began: float) -> None:
        self.began = began
        self.calls = list(calls)

    def wait(self, seconds: float) -> None:
        """Until all are done, but no longer than so."""
        import ray

        if self.calls:
            ray.wait(self.calls, num_returns=len(self.calls), timeout=max(0.0, seconds))

    def results(self) -> list[Any] | None:
        """What they returned; None while one has not.

        Raises:
            Lost: an actor is gone, or returned an error.
        """
        import ray

        done, _ = ray.wait(self.calls, num_returns=len(self.calls), timeout=0)
        found = []
        for call in done:
            try:
                result = ray.get(call)
            except ray.exceptions.RayError as error:
                raise Lost(f"its actor or node is gone: {last_words(str(error))}") from None
            if isinstance(result, Failed):
                raise Lost(str(result.error), result.error)
            found.append(result)
        return found if len(found) == len(self.calls) else None


class Member:
    """See the module. Its placement group outlives its actors, so that nobody takes its place meanwhile.

    Args:
        number: from 0.
        settings: of the server.
        layout: what it takes.
        nodes: of the cluster when the servers began.
        host: to listen on; None as `listens_on` says.
        staged: folder for copies of checkpoints, where nodes share none.

    Attributes:
        held: whether it waits in its place; nothing is started before all were found fit.
        started: how its server runs, while it serves.
        seen: what it serves.
        host: that it listens on.
        why: why it was lost, the last time.
    """

    def __init__(
        self,
        number: int,
        settings: ServerSettings,
        layout: Layout,
        nodes: Sequence[Node],
        host: str | None,
        *,
        staged: Path | None = None,
    ) -> None:
        import ray

        self.number = number
        self.started: Started | None = None
        self.seen: Seen | None = None
        self.held = True
        self.host = ""
        self.why = ""
        self._settings, self._layout, self._nodes = settings, layout, list(nodes)
        self._asked_host, self._staged = host, staged
        self._phase: Phase = "resting"
        self._losses = Losses()
        self._served_from = 0.0
        self._node = ""
        self._port = None if settings.port is None else settings.port + number
        self._actors: list[Any] = []
        self._hellos: list[Hello] = []
        self._call: _Call | None = None
        self._looks: _Call | None = None
        self._answered = 0.0
        self._group = ray.util.placement_group(
            [layout.bundle] * layout.nodes, strategy="STRICT_SPREAD" if layout.nodes > 1 else "STRICT_PACK"
        )

    @property
    def serves(self) -> bool:
        return self._phase == "serving"

    @property
    def given_up(self) -> bool:
        return self._phase == "given up"

    @property
    def is_placed(self) -> bool:
        """Whether it has a place that it can serve from."""
        return self._phase in ("placed", "meeting", "starting", "serving")

    def advance(self, weights: Weights, now: float) -> str | None:
        """Go one step on, without waiting.

        Args:
            weights: that the fleet serves now.
            now: on the monotonic clock.

        Returns:
            What is worth saying, if anything.

        Raises:
            Lost: it is gone, and must be told so by `lose`.
        """
        if self._phase == "resting" and self._losses.next_at is not None and now >= self._losses.next_at:
            self._place(weights, now)
        elif self._phase == "placing":
            self._see_place(weights)
        elif self._phase == "placed" and not self.held:
            self._begin(weights, now)
        elif self._phase == "meeting":
            self._met(weights, now)
        elif self._phase == "starting":
            return self._ready(weights, now)
        elif self._phase == "serving":
            self._watch(now)
        return None

    def look(self, now: float) -> list[Any]:
        """Ask a server that serves how it is, unless it was asked already; references to its answers."""
        if not self.serves or self._looks is not None:
            return []
        self._looks = _Call([actor.look.remote() for actor in self._actors], now)
        return self._looks.calls

    def lose(self, why: str, now: float) -> None:
        """Let go of what is left of it; it is started again in a while, or not any more."""
        served_s = now - self._served_from if self.serves else 0.0
        self._kill()
        self.why = why.partition("\n")[0]
        self._losses = self._losses.after(now, served_s)
        self._phase = "given up" if self._losses.next_at is None else "resting"
        self.started = self.seen = None

    def request_stop(self) -> None:
        """Begin to end it, without waiting."""
        # Actors without a place yet would never answer; they are only killed.
        actors = self._actors if self.is_placed else []
        self._call = _Call([actor.stop.remote() for actor in actors], time.monotonic())

    def close(self, deadline: float) -> None:
        """End it and free its place, once its processes are gone or at a time on the monotonic clock."""
        import ray

        if self._call is not None:
            self._call.wait(deadline - time.monotonic())
        self._kill()
        ray.util.remove_placement_group(self._group)

    def _place(self, weights: Weights, now: float) -> None:
        """Make an actor for each rank; they come to be when the cluster has room."""
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        bundle = self._layout.bundle
        self._actors = [
            ray.remote(ReplicaActor)
            .options(
                num_cpus=bundle.get("CPU", 0),
                num_gpus=bundle.get("GPU", 0),
                max_restarts=0,
                max_concurrency=4,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    placement_group=self._group, placement_group_bundle_index=rank
                ),
            )
            .remote()
            for rank in range(self._layout.nodes)
        ]
        self._call = _Call([actor.hello.remote(weights.path) for actor in self._actors], now)
        self._phase = "placing"

    def _see_place(self, weights: Weights) -> None:
        """The actors are where they stay: see that they can serve from there."""
        assert self._call is not None
        found = self._call.results()
        if found is None:
            return
        self._hellos = found
        for hello in self._hellos:
            if hello.sdk != _version():
                error = ConfigError(
                    f"node {hello.node} has rro-sdk {hello.sdk}, this machine {_version()}; install the same"
                )
                raise Lost(str(error), error)
        blind = [hello for hello in self._hellos if not hello.sees_model]
        if blind and self._staged is not None:
            self._bring(weights, [hello.node_id for hello in blind])
        elif blind:
            error = ConfigError(
                f"node {blind[0].node} does not see checkpoint {weights.path}; give a path that every node"
                " sees, or have it copied with --stage"
            )
            raise Lost(str(error), error)
        # Those of the beginning too: what was several machines does not become one when others are lost.
        self._nodes = list(dict.fromkeys([*self._nodes, *nodes_up()]))
        node = self._hellos[0].node
        if node != self._node and self._node and self._settings.port is None:
            self._port = None  # it moved
        self._node = node
        self.host = listens_on(self._asked_host, node, self._nodes)
        self._phase = "placed"

    def _begin(self, weights: Weights, now: float) -> None:
        if self._layout.nodes == 1:
            self._start(weights, ("", 0), now)
            return
        self._call = _Call([self._actors[0].free_port.remote()], now)
        self._phase = "meeting"

    def _met(self, weights: Weights, now: float) -> None:
        assert self._call is not None
        found = self._call.results()
        if found is not None:
            self._start(weights, (self._node, int(found[0])), now)

    def _start(self, weights: Weights, meet: tuple[str, int], now: float) -> None:
        starts = [
            Start(
                self._settings,
                weights,
                self.host if rank == 0 else listens_on(self._asked_host, hello.node, self._nodes),
                self._port if rank == 0 else None,
                rank,
                self._layout.nodes,
                meet,
            )
            for rank, hello in enumerate(self._hellos)
        ]
        self._call = _Call(
            [actor.start.remote(start) for actor, start in zip(self._actors, starts, strict=True)], now
        )
        self._started_with = weights
        self._phase = "starting"

    def _ready(self, weights: Weights, now: float) -> str | None:
        assert self._call is not None
        found = self._call.results()
        if found is None:
            limit = self._settings.startup_timeout_s + PORT_WAIT_S + START_MARGIN_S
            if now - self._call.began > limit:
                raise Lost(f"its start did not end within {limit:g} s")
            self._look_at_other_ranks(now)
            return None
        if self._started_with != weights:
            raise Lost(f"the fleet went over to weight version {weights.version} while it started")
        self.started = found[0]
        self._port = self.started.port
        self.seen = Seen(self._started_with)
        self._served_from = self._answered = now
        self._looks = None
        self._phase = "serving"
        return f"server {self.number} serves weight version {weights.version} at {self.started.url}"

    def _watch(self, now: float) -> None:
        """Take what the last look brought."""
        looks = self._looked()
        if looks and looks[0].weights is not None:
            assert self.seen is not None
            self.seen = self.seen.looked_at(looks[0].weights, now)
            self._answered = now
        elif now - self._answered > HUNG_S:
            raise Lost(f"it has said nothing for {HUNG_S:g} s")

    def _looked(self) -> list[Look]:
        """The answers to the last look, once; empty while they are under way.

        Raises:
            Lost: a rank does not run.
        """
        found = None if self._looks is None else self._looks.results()
        if found is None:
            return []
        self._looks = None
        for look in found:
            if look.why is not None:
                raise Lost(look.why)
        return found

    def _look_at_other_ranks(self, now: float) -> None:
        """One that ends would keep the first waiting."""
        others = self._actors[1:]
        if self._looks is not None:
            self._looked()
        elif others:
            self._looks = _Call([actor.look.remote() for actor in others], now)

    def _bring(self, weights: Weights, node_ids: Sequence[str]) -> None:
        """Have the checkpoint copied to nodes that lack it, and wait for that."""
        assert self._staged is not None
        try:
            stage_checkpoint(Path(weights.path), self._staged, node_ids)
        except RROError as error:
            raise Lost(str(error), error) from None

    def _kill(self) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        self._call = self._looks = None


def nodes_up() -> list[Node]:
    """The cluster's nodes that are up."""
    import ray

    return [node_of(row) for row in ray.nodes() if row["Alive"]]


def _version() -> str:
    try:
        return metadata.version("rro-sdk")
    except metadata.PackageNotFoundError:
        return "none"


def last_words(said: str) -> str:
    """Of what Ray says over many lines of an actor that ended, the cause."""
    return said.strip().rpartition("\n")[2].strip()[:_WORDS]
