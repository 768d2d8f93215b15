"""Stands between the SDK's process and one server, and outlives neither. Standard library alone.

    SDK process --pipe--> supervisor --> launcher (own process group) --> scheduler, detokenizer ...

Invariant: when the SDK's process is gone, in whatever way, every process of the server ends within
`grace_s` + a few seconds, and so does the supervisor. How each loss is noticed:

- the SDK's process: its end of the pipe closes (end of file), or this process's parent changes, which also
  covers a pipe that some fork of the SDK still holds;
- the launcher: SIGCHLD. What it leaves behind becomes this process's child (child subreaper, Linux) and is
  killed; on other systems the process group is;
- the supervisor itself: the launcher asked the kernel to kill it then, and SGLang's children do the same.

Speaks JSON lines: one specification in; {"pid"} and, at the end, {"exit"} out.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

TICK_S = 0.5
"""How often the parent and the children are looked at when no event comes."""

KILL_WAIT_S = 5.0
"""How long the kernel may take over SIGKILL (a process can be in an uninterruptible call)."""


def become_subreaper() -> None:
    """Orphans among the descendants become children of this process. Linux only."""
    if sys.platform.startswith("linux"):
        pr_set_child_subreaper = 36
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def descendants(root: int, parents: dict[int, int]) -> set[int]:
    """Every process below `root`, given each process's parent."""
    found: set[int] = set()
    frontier = {root}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier} - found
        found |= frontier
    return found


def process_parents() -> dict[int, int]:
    """Parent of every process, from /proc; empty where there is none. Zombies are left out."""
    table: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # "pid (name) state ppid ...": the name may hold spaces and brackets.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            table[int(folder.name)] = int(parent)
    return table


class Supervisor:
    """One server's life: start it, wait for a reason to stop, leave nothing."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._asked_to_stop = False
        self._exit: int | None = None
        self._wake, wake_writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that it wakes the select

    def run(self) -> None:
        with Path(self._spec["log"]).open("ab") as log:
            self._child = subprocess.Popen(
                self._spec["argv"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "RRO_SUPERVISOR_PID": str(os.getpid())},
            )
        self._tell({"pid": self._child.pid})
        assert self._child.stdin is not None
        with (
            suppress(BrokenPipeError),
            self._child.stdin as pipe,
        ):  # broken: it died at once, and its log says why
            pipe.write(self._spec["settings"].encode())
        self._wait()
        self._end()
        shutil.rmtree(self._spec["scratch"], ignore_errors=True)
        self._tell({"exit": self._exit})

    def _wait(self) -> None:
        while not self._asked_to_stop and not self._ended():
            ready, _, _ = select.select([0, self._wake], [], [], TICK_S)
            if self._wake in ready:
                os.read(self._wake, 4096)
            # The parent writes nothing after the specification: readable means end of file.
            if 0 in ready or os.getppid() != self._spec["parent"]:
                self._asked_to_stop = True
            self._reap()

    def _end(self) -> None:
        if not self._ended():
            self._signal_group(signal.SIGTERM)
            for _ in self._until(self._spec["grace_s"]):
                if self._ended():
                    break
        for _ in self._until(KILL_WAIT_S):
            # Again on each round: a process may have been forked while the list was read.
            self._signal_group(signal.SIGKILL)
            left = descendants(os.getpid(), process_parents())
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left and self._ended():
                break

    def _until(self, seconds: float) -> Iterator[None]:
        """Rounds of at most a tenth of a second, each after reaping; a child's end cuts one short."""
        deadline = time.monotonic() + seconds
        while True:
            self._reap()
            yield
            if time.monotonic() >= deadline:
                return
            if select.select([self._wake], [], [], 0.1)[0]:
                os.read(self._wake, 4096)

    def _ended(self) -> bool:
        return self._exit is not None

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child.pid:
                self._exit = self._child.returncode = os.waitstatus_to_exitcode(status)

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
            os.killpg(self._child.pid, number)

    def _on_stop(self, *_: object) -> None:
        self._asked_to_stop = True

    def _tell(self, event: dict[str, Any]) -> None:
        with suppress(OSError):  # the parent is gone: that is what this process is for
            os.write(1, json.dumps(event).encode() + b"\n")


def read_specification() -> dict[str, Any] | None:
    """The first line of standard input; None where the parent died before it was whole."""
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            return None
        data += piece
    spec: dict[str, Any] = json.loads(data)
    return spec


if __name__ == "__main__":
    specification = read_specification()
    if specification is not None:
        become_subreaper()
        Supervisor(specification).run()
