"""One server process behind its supervisor, as seen from the SDK's process."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rro_sdk.errors import ServerStartError

_SUPERVISOR = Path(__file__).with_name("_supervisor.py")

SPAWN_LIMIT_S = 30.0
"""For a bare interpreter to start and report its child: tenths of a second, unless the machine thrashes."""

KILL_MARGIN_S = 15.0
"""What a supervisor may take beyond its grace before it is killed itself."""

TAIL_BYTES = 64 * 1024


class SupervisedProcess:
    """A program that ends when this process ends, in whatever way. Not for concurrent use.

    Attributes:
        pid: of the program; it leads its own process group.
        supervisor_pid: of the process between.
        log: file with everything the program printed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        settings: Mapping[str, Any],
        environ: Mapping[str, str],
        log: Path,
        grace_s: float,
    ) -> None:
        """Start the program with `settings` as JSON on its standard input.

        Raises:
            ServerStartError: it could not be started.
        """
        self.log = log
        self._grace_s = grace_s
        self._exit: int | None = None
        self._unread = b""
        # The program's temporary files: it may be killed, so the supervisor removes them, or else we.
        self._scratch = tempfile.mkdtemp(prefix="rro-run-")
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with log.open("ab") as stderr:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**environ, "TMPDIR": self._scratch},
                start_new_session=True,  # a terminal's Ctrl-C is for us: we then stop it in order
            )
        self.supervisor_pid = self._supervisor.pid
        specification = {
            "argv": list(argv),
            "settings": json.dumps(settings),
            "log": str(log),
            "scratch": self._scratch,
            "grace_s": grace_s,
            "parent": os.getpid(),
        }
        try:
            self._write(json.dumps(specification).encode() + b"\n")
            self.pid = int(self._read_event()["pid"])
        except (OSError, KeyError, ValueError) as error:
            self._kill()
            self._close()
            raise ServerStartError(
                f"{argv[0]} could not be started; the log {log} ends with:\n{self.tail()}"
            ) from error

    def poll(self) -> int | None:
        """The program's exit code (negative: the signal that killed it), or None while it runs."""
        if self._exit is None and self._supervisor.poll() is not None:
            self._exit = self._read_exit()
            self._close()
        return self._exit

    def request_stop(self) -> None:
        """Begin to end it, without waiting."""
        if self._supervisor.stdin is not None and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()

    def stop(self) -> int:
        """End it and everything it started; its exit code. Safe to call twice."""
        self.request_stop()
        try:
            self._supervisor.wait(self._grace_s + KILL_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._kill()
        code = self.poll()
        return code if code is not None else -9

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError as error:
            return f"(the log cannot be read: {error.strerror})"
        return "\n".join(deque((line[:500] for line in text.splitlines() if line.strip()), maxlen=lines))

    def _write(self, data: bytes) -> None:
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.write(data)
        self._supervisor.stdin.flush()

    def _read_event(self) -> dict[str, Any]:
        """The first line from the supervisor, which comes at once or not at all."""
        assert self._supervisor.stdout is not None
        descriptor = self._supervisor.stdout.fileno()
        deadline = time.monotonic() + SPAWN_LIMIT_S
        data = b""
        while not data.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise OSError("the supervisor said nothing")
            piece = os.read(descriptor, 4096)
            if not piece:
                raise OSError("the supervisor ended at once")
            data += piece
        # A program that ends at once may have both of its events here.
        first, _, self._unread = data.partition(b"\n")
        event: dict[str, Any] = json.loads(first)
        return event

    def _read_exit(self) -> int:
        assert self._supervisor.stdout is not None
        line = self._unread + self._supervisor.stdout.read()
        if line.strip():
            code = json.loads(line)["exit"]
            if code is not None:
                return int(code)
        return -9  # the supervisor was killed, and its end killed the program

    def _kill(self) -> None:
        self._supervisor.kill()
        self._supervisor.wait(KILL_MARGIN_S)

    def _close(self) -> None:
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
