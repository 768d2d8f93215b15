"""A launcher of trainers on one node, as whoever is elsewhere sees it: started, read line by line, ended.

It lives in a Ray actor of that node. What it started reads this process's pipe and ends when that closes, so
nothing is left behind where the actor, its node or the whole run is lost.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rro_sdk._installed import installed
from rro_sdk.errors import RROError
from trainers.launching import command_on_node
from trainers.nodes import Nodes, processes_on_each
from trainers.process import surroundings
from trainers.rows import file_sha256
from trainers.settings import TrainSettings

__all__ = ["Held", "Looked", "Said"]

PACKAGES = ("rro-sdk", "torch", "transformers", "trl", "accelerate")
"""What must be the same on all nodes: they train one model together."""

LISTEN_S = 1.0
"""How long `read` waits for a line."""


class Looked(NamedTuple):
    """What a node says before it begins.

    Attributes:
        node: its address.
        port: that is free there.
        sees: whether it sees the training's folder.
        versions: of Python and of `PACKAGES`.
    """

    node: str
    port: int
    sees: bool
    versions: dict[str, str]


class Said(NamedTuple):
    """What the launcher said since it was last read, and its exit status once it has ended."""

    lines: list[bytes]
    status: int | None


class Held:
    """One launcher; see the module."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def look(self, node: str, orders: str, digest: str) -> Looked:
        """How this node stands; `orders` is the training's settings file and `digest` its SHA-256."""
        try:
            sees = file_sha256(Path(orders)) == digest
        except OSError:
            sees = False
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        return Looked(node, port, sees, installed(PACKAGES))

    def start(
        self, settings: TrainSettings, nodes: Nodes, rank: int, first: tuple[str, int], files: Sequence[str]
    ) -> RROError | None:
        """Start this node's trainers.

        Args:
            settings: what to train.
            nodes: all that train.
            rank: this one's, from 0.
            first: where the first node listens for the others.
            files: settings file, work folder and log, as a trainer takes them.

        Returns:
            What is wrong with the settings here; an error that was raised would reach the caller as Ray's.
        """
        try:
            argv = command_on_node(settings, nodes, rank, *first)
        except RROError as error:
            return error
        threads = settings.threads or max(1, nodes.cpus // processes_on_each(settings, nodes))
        self.run([*argv, *files], {**surroundings(settings, threads)}, Path(files[2]))
        return None

    def run(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Run a program; its errors go to the end of `log`."""
        with log.open("ab") as errors:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **env},
                start_new_session=True,
            )
        threading.Thread(target=self._listen, args=(self._child.stdout,), daemon=True, name="listen").start()

    def read(self) -> Said:
        """What it said; waits a moment for it to say something."""
        assert self._child is not None
        lines: list[bytes] = []
        try:
            line = self._said.get(timeout=LISTEN_S)
            while line is not None:
                lines.append(line)
                line = self._said.get_nowait()
        except queue.Empty:
            return Said(lines, None)
        return Said(lines, self._child.wait())

    def let_go(self) -> None:
        """Close its standard input, as the end of this process would."""
        assert self._child is not None and self._child.stdin is not None
        self._child.stdin.close()

    def _listen(self, stream: Any) -> None:
        for line in stream:
            self._said.put(line)
        self._said.put(None)
