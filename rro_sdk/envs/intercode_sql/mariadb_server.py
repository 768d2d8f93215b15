"""A MariaDB server of our own: `rro env up mariadb` starts it, `rro env down mariadb` ends it.

It is the Debian package's program on a private data folder, reachable over loopback and a socket in that
folder, and apart from any other MariaDB of the machine. The data are loaded once; the only account that
is left after that can read them and do nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rro_sdk._wheels import cache_folder
from rro_sdk.atomic import write_lines
from rro_sdk.envs.intercode_sql.library import DUMP_SHA256, dump_bytes
from rro_sdk.envs.intercode_sql.mariadb_client import Address, connect
from rro_sdk.errors import ConfigError, EnvironmentFault

INSTALL = "MariaDB is not installed: sudo apt-get install --no-install-recommends mariadb-server-core"
AGENT = "agent"
LAYOUT = 1
"""Raise it when the same dump would become another data folder."""

HOSTS = ("localhost", "127.0.0.1")
"""How the server sees a client of this machine: by the socket, or over loopback."""

START_S = 60.0
STOP_S = 30.0
POLL_S = 0.05
PORT_TRIES = 3

OPTIONS = (
    # The original runs on macOS, where names of tables have no case.
    "--lower-case-table-names=1",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
    # The time is the session's own, so that a statement has one result.
    "--sysdate-is-now",
    # Counted once, after loading: plans, and with them the order of rows, shall not change meanwhile.
    "--innodb-stats-auto-recalc=OFF",
    # The data are 7,000 rows: the rest is what a server takes by default for millions.
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=8M",
    "--performance-schema=OFF",
    "--max-connections=64",
    # What one statement may take.
    "--max-session-mem-used=64M",
    "--max-heap-table-size=16M",
    "--tmp-disk-table-size=67108864",
    "--max-allowed-packet=1M",
    "--local-infile=0",
    "--skip-name-resolve",
    "--bind-address=127.0.0.1",
    "--log-warnings=0",
)

_SCRIPTS = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")


class Server(msgspec.Struct, frozen=True):
    """A running server; kept in its folder, which is readable by its owner alone."""

    pid: int
    address: Address

    @property
    def url(self) -> str:
        """Its address without the password."""
        return f"mysql://{self.address.user}@{self.address.host}:{self.address.port}"


def default_folder() -> Path:
    """Where the server's data are kept."""
    return cache_folder() / "intercode-sql" / f"mariadb-{DUMP_SHA256[:12]}-v{LAYOUT}"


def up(folder: Path | None = None, *, dump: bytes | None = None) -> Server:
    """Start the server, or give the one that runs; it goes on when this process ends.

    The first start makes the data folder and loads the databases (about five seconds).

    Args:
        folder: for its data, log and address; `default_folder()` by default.
        dump: a MySQL dump to load; InterCode's databases by default. Read on the first start alone.

    Raises:
        ConfigError: MariaDB is not installed, or the folder cannot be written.
        EnvironmentFault: the server did not start; its log says why.
    """
    folder = folder or default_folder()
    program, scripts = _programs()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        with _locked(folder):
            found = running(folder)
            if found is not None:
                return found
            if not (folder / "loaded").is_file():
                return _first_start(program, scripts, folder, dump if dump is not None else dump_bytes())
            return _start(program, folder, "--read-only")
    except OSError as error:
        raise ConfigError(f"cannot keep MariaDB's data in {folder}: {error.strerror}") from error


def down(folder: Path | None = None) -> bool:
    """Stop the server.

    Returns:
        Whether there was one to stop.

    Raises:
        EnvironmentFault: it does not end.
    """
    folder = folder or default_folder()
    if not folder.is_dir():
        return False
    with _locked(folder):
        found = running(folder)
        (folder / "server.json").unlink(missing_ok=True)
        if found is None:
            return False
        _end(found.pid)
    return True


def running(folder: Path | None = None) -> Server | None:
    """The server that runs on that folder, if one does."""
    folder = folder or default_folder()
    try:
        found = msgspec.json.decode((folder / "server.json").read_bytes(), type=Server)
    except (OSError, msgspec.DecodeError):
        return None
    return found if _is_ours(found.pid, folder) else None


def _programs() -> tuple[str, list[Path]]:
    program = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise ConfigError(INSTALL)
    share = Path(program).resolve().parents[1] / "share"
    for place in (share / "mysql", share / "mariadb"):
        scripts = [place / name for name in _SCRIPTS]
        if all(script.is_file() for script in scripts):
            return program, scripts
    raise ConfigError(f"{program} is there without its system tables below {share}. {INSTALL}")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops the server."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _command(program: str, folder: Path) -> list[str]:
    # The server refuses to be root unless it is told so; it is whoever starts it.
    return [program, "--no-defaults", f"--datadir={folder / 'data'}", f"--user={getpass.getuser()}", *OPTIONS]


def _first_start(program: str, scripts: list[Path], folder: Path, dump: bytes) -> Server:
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    (data / "mysql").mkdir(parents=True, mode=0o700)
    admin, agent = secrets.token_hex(16), secrets.token_hex(16)
    statements = [
        "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n",
        *(script.read_text(encoding="utf-8") for script in scripts),
        # The accounts that come with the package have no password.
        "\nDELETE FROM mysql.global_priv WHERE User = 'root';\nFLUSH PRIVILEGES;\n",
        *(
            f"CREATE USER '{user}'@'{host}' IDENTIFIED BY '{password}';\n"
            for user, password in (("loader", admin), (AGENT, agent))
            for host in HOSTS
        ),
        *(f"GRANT ALL ON *.* TO 'loader'@'{host}' WITH GRANT OPTION;\n" for host in HOSTS),
    ]
    with (folder / "log").open("ab") as log:
        made = subprocess.run(
            [*_command(program, folder), "--bootstrap"],
            input="".join(statements).encode(),
            stdout=log,
            stderr=log,
            timeout=START_S,
            check=False,
        )
    if made.returncode != 0:
        raise EnvironmentFault(f"MariaDB could not make its data folder; see {folder / 'log'}")
    write_lines(folder / "password", [agent.encode()])
    server = _start(program, folder)
    try:
        _load(msgspec.structs.replace(server.address, user="loader", password=admin), dump)
    except BaseException:
        _end(server.pid)
        raise
    write_lines(folder / "loaded", [DUMP_SHA256.encode()])
    return server


def _load(address: Address, dump: bytes) -> None:
    """Load the databases, let the agent read them, and take all other accounts away."""
    text = dump.decode("utf-8")
    with contextlib.closing(connect(address, many=True)) as connection, connection.cursor() as cursor:
        # What stands before the first database is an account of the original's.
        cursor.execute(text[text.index("CREATE DATABASE") :])
        while cursor.nextset():
            pass
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            " AND table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')"
        )
        tables = cursor.fetchall()
        for schema, table in tables:
            # Plans depend on these counts; without them the server makes them whenever it sees fit.
            cursor.execute(f"ANALYZE TABLE `{schema}`.`{table}`")
            cursor.fetchall()
        for schema in {schema for schema, _ in tables}:
            for host in HOSTS:
                cursor.execute(f"GRANT SELECT ON `{schema}`.* TO '{AGENT}'@'{host}'")
        cursor.execute("SET GLOBAL read_only = ON")
        for host in HOSTS:
            cursor.execute(f"DROP USER 'loader'@'{host}'")


def _start(program: str, folder: Path, *options: str) -> Server:
    password = (folder / "password").read_text().strip()
    for _ in range(PORT_TRIES):
        port = _free_port()
        address = Address("127.0.0.1", port, AGENT, password, str(folder / "data" / "s.sock"))
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                # A path relative to the data folder, because a socket's path may be short only.
                [*_command(program, folder), f"--port={port}", "--socket=s.sock", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            ready = _ready(process, address)
        except BaseException:  # such as Ctrl-C: no server without a note of it
            _end(process.pid)
            raise
        if ready:
            server = Server(process.pid, address)
            write_lines(folder / "server.json", [msgspec.json.encode(server)])
            return server
        _end(process.pid)
    raise EnvironmentFault(f"MariaDB did not start; see {folder / 'log'}")


def _ready(process: subprocess.Popen[bytes], address: Address) -> bool:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            connect(address).close()
        except EnvironmentFault:
            time.sleep(POLL_S)
        else:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether that process is the server of this folder, and not another that got its number since."""
    try:
        return f"--datadir={folder / 'data'}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(
            b"\0"
        )
    except OSError:
        return False


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # where it is a child of this very process
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(POLL_S)
    raise EnvironmentFault(f"MariaDB (process {pid}) does not end within {STOP_S:g} s; end it yourself")
