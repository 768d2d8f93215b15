"""Start, watch and stop SGLang servers on this machine.

    async with SGLangServers(ServerSettings(model=Path("models/smollm2")), count=2) as servers:
        servers.urls

No server outlives this process, however it ends: see `_supervisor.py`.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from rro_sdk.errors import ConfigError, ServerError, ServerStartError
from servers.lifetime import Lifetime
from servers.ports import Reservation, reserve, url_of
from servers.process import SupervisedProcess
from servers.settings import ServerSettings, find_python

__all__ = ["RunningServer", "SGLangServers", "ServerSettings"]

log = logging.getLogger(__name__)

_LAUNCHER = Path(__file__).with_name("_launch.py")

POLL_S = 0.25
PROBE_LIMIT_S = 25.0
"""Of one readiness probe. SGLang itself gives up on its one-token generation after 20 s."""

CLASH_RETRIES = 2
"""Starts after the first for a server whose free port was taken by another program in the meantime."""

_CLASH = "address already in use"

_NOT_FOR_SERVERS = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "RRO_API_KEY", "RRO_ADMIN_API_KEY")
"""Variables that would break another interpreter, or hold what the server gets through its pipe."""


@dataclass(frozen=True)
class RunningServer:
    """One server that became ready. `ready_s`: from the start to the first token."""

    url: str
    pid: int
    log: Path
    ready_s: float


class SGLangServers(Lifetime):
    """Several servers alike, started and stopped together.

    Use it as an async context manager, or call `start` and `stop` from code without a loop. Not for
    concurrent use, but for `cancel`, which another thread or a signal handler may call.
    """

    def __init__(self, settings: ServerSettings, *, count: int = 1) -> None:
        """Check what can be checked before anything is started.

        Raises:
            ConfigError: no server asked for, or no interpreter with sglang.
        """
        if count < 1:
            raise ConfigError(f"servers must be 1 or more, not {count}")
        self.settings = settings
        self.count = count
        self._python = find_python(settings.python)
        self._members: list[_Member] = []
        self._own_logs: Path | None = None
        self._cancelled = threading.Event()

    @property
    def servers(self) -> tuple[RunningServer, ...]:
        return tuple(member.running for member in self._members if member.running is not None)

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the servers that became ready, without a trailing slash."""
        return tuple(server.url for server in self.servers)

    def start(self) -> None:
        """Start all and wait until each has generated a token. On any failure none is left.

        Raises:
            ConfigError: a port is taken.
            ServerStartError: one ended, or was not ready in time; with the last lines of its log.
        """
        if self._members:
            raise ConfigError("these servers are started already")
        settings = self.settings
        if settings.is_public:
            log.warning(
                "listening on %s: other machines can reach these servers%s",
                settings.host,
                "" if settings.api_key and settings.admin_api_key else ", and not every route asks for a key",
            )
        reservations = reserve(settings.host, settings.port, self.count)
        try:
            folder = self._log_folder()
            for index, reservation in enumerate(reservations):
                self._members.append(_Member(settings, self._python, reservation, folder, index))
            self._wait_until_ready()
        except BaseException:  # an interrupt too must leave no server behind
            for reservation in reservations:
                reservation.close()
            self._stop(keep_logs=True)
            raise

    def cancel(self) -> None:
        """Have a `start` that waits give up soon. Safe from any thread and from a signal handler."""
        self._cancelled.set()

    def stop(self) -> None:
        """Stop all; returns when every process is gone. Safe to call twice."""
        self._stop(keep_logs=any(member.process.poll() is not None for member in self._members))

    def alive(self) -> bool:
        """Whether every server's process is running."""
        return bool(self._members) and all(member.process.poll() is None for member in self._members)

    def check(self) -> None:
        """Raise if a server has ended by itself.

        Raises:
            ServerError: naming it, with its exit code and the last lines of its log.
        """
        for member in self._members:
            if (code := member.process.poll()) is not None:
                raise ServerError(
                    f"server {member.url} ended ({_how(code)}); {member.log_end()}", url=member.url
                )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.settings.startup_timeout_s
        # Environment proxies are not for loopback.
        with httpx2.Client(trust_env=False) as client:
            while waiting := [member for member in self._members if member.running is None]:
                for member in waiting:
                    self._advance(member, client, deadline)
                if self._cancelled.wait(POLL_S if any(m.running is None for m in waiting) else 0):
                    raise ServerStartError("the start was cancelled; no server was left running")

    def _advance(self, member: _Member, client: httpx2.Client, deadline: float) -> None:
        limit = self.settings.startup_timeout_s
        if (code := member.process.poll()) is not None:
            clashed = self.settings.port is None and _CLASH in member.process.tail(60).lower()
            if clashed and member.retries < CLASH_RETRIES:
                log.warning("port %d was taken by another program; trying another", member.port)
                member.restart()
                return
            raise ServerStartError(
                f"server {member.url} ended before it was ready ({_how(code)}); {member.log_end()}",
                url=member.url,
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise ServerStartError(
                f"server {member.url} was not ready within {limit:g} s; {member.log_end()}", url=member.url
            )
        if member.answers(client, min(left, PROBE_LIMIT_S)):
            member.confirm(client, min(max(left, 1.0), PROBE_LIMIT_S))

    def _stop(self, *, keep_logs: bool) -> None:
        members, self._members = self._members, []
        for member in members:  # all at once, then wait for each
            member.process.request_stop()
        for member in members:
            member.close()
        if self._own_logs is not None and not keep_logs:
            shutil.rmtree(self._own_logs, ignore_errors=True)
            self._own_logs = None

    def _log_folder(self) -> Path:
        folder = self.settings.log_dir
        if folder is None:
            self._own_logs = Path(tempfile.mkdtemp(prefix="rro-sglang-"))
            return self._own_logs
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the log folder {folder}: {error.strerror}") from error
        return folder.resolve()


class _Member:
    """One server on its way to ready: the process, its port's reservation and what it answered."""

    def __init__(
        self, settings: ServerSettings, python: Path, reservation: Reservation, folder: Path, index: int
    ) -> None:
        self._settings = settings
        self._python = python
        self._reservation = reservation
        self._folder = folder
        self._index = index
        self.retries = 0
        self.running: RunningServer | None = None
        self._launch()

    def _launch(self) -> None:
        self.port = self._reservation.port
        self.url = url_of(self._settings.host, self.port)
        self._started = time.monotonic()
        log_file = self._folder / f"server-{self._index}-{self.port}.log"
        self.process = launch(self._settings, self._python, self.port, log_file)

    def restart(self) -> None:
        """The same server on another free port."""
        self.retries += 1
        self.process.stop()
        self._reservation.close()
        self._reservation = Reservation(self._settings.host, None)
        self._launch()

    def answers(self, client: httpx2.Client, timeout_s: float) -> bool:
        """Whether it has just generated a token."""
        try:
            return client.get(f"{self.url}/health_generate", timeout=timeout_s).status_code == 200
        except httpx2.TransportError:  # not listening yet, or too busy to answer
            return False

    def confirm(self, client: httpx2.Client, timeout_s: float) -> None:
        """See that what answers is this server and that it asks for its keys; then it is ready.

        Raises:
            ServerStartError: it is another program, or it lets in who has no key.
        """
        settings = self._settings
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        try:
            info = client.get(f"{self.url}/model_info", headers=headers, timeout=timeout_s)
            # Without a key and without effect: no request has this id.
            open_control = client.post(f"{self.url}/abort_request", json={"rid": "-"}, timeout=timeout_s)
            open_info = client.get(f"{self.url}/model_info", timeout=timeout_s)
        except httpx2.TransportError:
            return  # asked again on the next round
        if info.status_code != 200 or info.json().get("model_path") != str(settings.model):
            raise ServerStartError(f"another program answers at {self.url}; give another port", url=self.url)
        keyless = settings.api_key and open_info.status_code != 401
        if keyless or ((settings.api_key or settings.admin_api_key) and open_control.status_code != 401):
            raise ServerStartError(
                f"server {self.url} does not ask for its keys; start it without, or with sglang 0.5.23",
                url=self.url,
            )
        self._reservation.close()
        ready_s = time.monotonic() - self._started
        self.running = RunningServer(self.url, self.process.pid, self.process.log, ready_s)

    def log_end(self) -> str:
        return f"its log {self.process.log} ends with:\n{self.process.tail()}"

    def close(self) -> None:
        self.process.stop()
        self._reservation.close()


def launch(settings: ServerSettings, python: Path, port: int, log_file: Path) -> SupervisedProcess:
    """Start one server's process, which ends with this one.

    Raises:
        ServerStartError: it could not be started.
    """
    return SupervisedProcess(
        [str(python), str(_LAUNCHER)],
        settings=settings.for_launcher(port),
        environ=launch_environment(os.environ),
        log=log_file,
        grace_s=settings.stop_grace_s,
    )


def launch_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: ours, less what would harm it, offline unless told otherwise."""
    found = {name: value for name, value in environ.items() if name not in _NOT_FOR_SERVERS}
    found.setdefault("HF_HUB_OFFLINE", "1")
    found.setdefault("PYTHONUNBUFFERED", "1")
    # The server's temporary folder goes away with it; compiled kernels should not.
    compiled = Path(tempfile.gettempdir()) / f"torchinductor_{os.getuid()}"
    found.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))
    return found


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
