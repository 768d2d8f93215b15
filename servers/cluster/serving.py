"""SGLang servers on a Ray cluster, kept at their number.

    with joined("HEAD:6379"):                                        # rro_sdk.cluster
        servers = RayServers(ServerSettings(model=...), Layout(servers=8, gpus=2, tp=2))
        servers.start()

Roles: this process owns the placement groups and actors, so they go when it does, in whatever way, and
servers go with their actors (`replica.py`, `servers/_supervisor.py`). A `Member` is one server through all of
its lives; `RayServers` looks at all of them once a second, in a thread of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rro_sdk.errors import ConfigError, ServerError, ServerStartError
from servers.cluster.delivery import stage_checkpoint
from servers.cluster.layout import Layout, Node, is_loopback, refuse_shortage
from servers.cluster.member import Lost, Member, nodes_up
from servers.cluster.succession import STALE_S, Weights, is_behind, served_now
from servers.lifetime import Lifetime
from servers.settings import ServerSettings
from servers.sglang import RunningServer

log = logging.getLogger(__name__)

WATCH_S = 1.0
"""Between two looks at all servers: a fleet misses one as soon."""

STEP_S = 0.25
"""Between two while one is being made."""

LOOK_S = 0.3
"""How long a look waits for answers: an idle node needs milliseconds. Later ones count at the next."""

STOP_MARGIN_S = 20.0
"""What ending a server may take beyond its grace: that of its supervisor, and a look that is under way."""


class RayServers(Lifetime):
    """Servers alike on a cluster that this process has joined. Not for concurrent use, but for `cancel`.

    A server that ends, by itself or with its node, is made anew with the weights that the others serve then:
    in its old place and at its old port where that is left, and elsewhere where it is not.

    Args:
        settings: of each server. Every node must see its model under the same path, or `stage` be given.
        layout: how many, and what each takes.
        host: to listen on. By default a node's own address; loopback where all nodes are one machine.
        stage: folder on the nodes' own disks that the checkpoint is copied to first.
        note: told in one line of what is lost and made anew.

    Raises:
        ConfigError: settings that cannot be right.
    """

    def __init__(
        self,
        settings: ServerSettings,
        layout: Layout,
        *,
        host: str | None = None,
        stage: Path | None = None,
        note: Callable[[str], None] = log.warning,
    ) -> None:
        self.settings = settings
        self.layout = layout
        self._host, self._stage, self._note = host, stage, note
        self._members: list[Member] = []
        self._weights = Weights(str(settings.model), settings.weight_version)
        self._stale_since: dict[int, float] = {}
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._watching: threading.Thread | None = None
        self._broken: ServerError | None = None

    @property
    def servers(self) -> tuple[RunningServer, ...]:
        """Those that serve now."""
        started = [member.started for member in self._serving()]  # the watch may change them meanwhile
        return tuple(
            RunningServer(each.url, each.pid, each.log, each.ready_s) for each in started if each is not None
        )

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of those that serve now."""
        return tuple(server.url for server in self.servers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of their processes, each on its node."""
        return tuple(server.pid for server in self.servers)

    @property
    def weights(self) -> Weights:
        """What they serve now, and what one that is made anew begins with."""
        return self._weights

    def start(self) -> None:
        """Start all and wait until each has generated a token. On any failure none is left.

        Raises:
            ConfigError: the cluster is too small or too busy, or a node does not see the model.
            CheckpointError: the checkpoint cannot be copied to a node.
            ServerStartError: one ended, or was not ready in time; with the last lines of its log.
        """
        if self._members:
            raise ConfigError("these servers are started already")
        nodes = nodes_up()
        refuse_shortage(self.layout, nodes)
        self._ended.clear()
        self._broken = None
        try:
            self._start(nodes)
        except BaseException:  # an interrupt too must leave no server behind
            self._stop()
            raise
        self._watching = threading.Thread(target=self._watch, name="rro-ray-servers", daemon=True)
        self._watching.start()

    def cancel(self) -> None:
        """Have a `start` that waits give up soon. Safe from any thread and from a signal handler."""
        self._cancelled.set()

    def stop(self) -> None:
        """Stop all; returns when every process is gone. Safe to call twice."""
        self._ended.set()
        if self._watching is not None:
            self._watching.join()
            self._watching = None
        self._stop()

    def alive(self) -> bool:
        """Whether any serves, or may yet."""
        return self._watching is not None and self._watching.is_alive() and self._broken is None

    def check(self) -> None:
        """Raise where no server is left that serves or may yet.

        Raises:
            ServerError: why.
        """
        if self._broken is not None:
            raise self._broken
        if self._watching is not None and not self._watching.is_alive():
            raise ServerError("the servers are no longer watched; start them anew")

    def _start(self, nodes: Sequence[Node]) -> None:
        self._weights = Weights(str(self.settings.model), self.settings.weight_version)
        if self._stage is not None:
            copy = stage_checkpoint(self.settings.model, self._stage)
            self._weights = Weights(str(copy), self.settings.weight_version)
        self._members = [
            Member(number, self.settings, self.layout, nodes, self._host, staged=self._stage)
            for number in range(self.layout.servers)
        ]
        deadline = time.monotonic() + self.settings.startup_timeout_s
        while not all(member.serves for member in self._members):
            for _, lost in self._step(time.monotonic()):
                raise lost.error or ServerStartError(str(lost)) from None
            if all(member.is_placed for member in self._members):
                for member in self._members:
                    member.held = False
            if time.monotonic() > deadline and not all(member.is_placed for member in self._members):
                raise self._late()
            if self._cancelled.wait(STEP_S):
                raise ServerStartError("the start was cancelled; no server was left running")
        keyed = self.settings.api_key and self.settings.admin_api_key
        if not keyed and not all(is_loopback(member.host) for member in self._members):
            self._note("warning: other machines can reach these servers, and not every route asks for a key")

    def _late(self) -> ConfigError:
        import ray

        limit = self.settings.startup_timeout_s
        waiting = [member for member in self._members if not member.is_placed]
        unit = self.layout.resource
        free = ray.available_resources().get(unit, 0.0)
        return ConfigError(
            f"{len(waiting)} of {len(self._members)} servers found no place on the cluster in {limit:g} s:"
            f" {free:g} {unit}s are free now, and each server needs {self.layout.gpus or self.layout.nodes};"
            " wait for what runs there, or ask for fewer"
        )

    def _watch(self) -> None:
        import ray

        while self._broken is None:
            settled = all(member.serves or member.given_up for member in self._members)
            if self._ended.wait(WATCH_S if settled else STEP_S):
                return
            try:
                self._look()
            except ray.exceptions.RayError as error:
                line = str(error).strip().partition("\n")[0]
                self._broken = ServerError(f"the cluster does not answer any more: {line}")

    def _look(self) -> None:
        now = time.monotonic()
        for member, lost in self._step(now):
            self._lost(member, lost, now)
        self._renew_those_behind(now)
        if all(member.given_up for member in self._members):
            said = "; ".join(member.why for member in self._members)
            self._broken = ServerError(f"no server is left: {said}")

    def _step(self, now: float) -> list[tuple[Member, Lost]]:
        """Look at the servers, and take those that are being made one step on; which were lost."""
        import ray

        asked = [call for member in self._members for call in member.look(now)]
        if asked:
            ray.wait(asked, num_returns=len(asked), timeout=LOOK_S)
        lost = []
        serving = self._serving()
        # Those that serve go first: what they serve is what the others begin with.
        for members in (serving, [member for member in self._members if member not in serving]):
            for member in members:
                try:
                    became = member.advance(self._weights, now)
                except Lost as error:
                    lost.append((member, error))
                else:
                    if became and self._watching is not None:
                        self._note(became)
            self._weights = served_now([each.seen for each in self._serving() if each.seen], self._weights)
        return lost

    def _lost(self, member: Member, lost: Lost, now: float) -> None:
        member.lose(str(lost), now)
        after = "it is not started again" if member.given_up else "it is made anew"
        self._note(f"server {member.number} was lost ({str(lost).partition(chr(10))[0]}); {after}")

    def _renew_those_behind(self, now: float) -> None:
        """Make anew what missed a reload: a fleet leaves it out, and nothing else would bring it back."""
        serving = self._serving()
        seen = [member.seen for member in serving if member.seen]
        for member in serving:
            if member.seen is None or not is_behind(member.seen, seen, self._weights):
                self._stale_since.pop(member.number, None)
            elif now - self._stale_since.setdefault(member.number, now) >= STALE_S:
                del self._stale_since[member.number]
                self._lost(member, Lost(f"it still serves weight version {member.seen.weights.version}"), now)

    def _serving(self) -> list[Member]:
        return [member for member in self._members if member.serves]

    def _stop(self) -> None:
        members, self._members = self._members, []
        for member in members:  # all at once, then wait for each
            member.request_stop()
        deadline = time.monotonic() + self.settings.stop_grace_s + STOP_MARGIN_S
        for member in members:
            member.close(deadline)
