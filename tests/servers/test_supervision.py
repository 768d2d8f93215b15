"""No process outlives the one that started it. Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import ServerStartError
from servers._supervisor import descendants
from servers.process import SupervisedProcess
from tests.servers.processes import exists, group_of, until

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
pytestmark = linux

PARENT = """
import signal, sys, time
from pathlib import Path
from servers.sglang import ServerSettings, SGLangServers
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
model, python = map(Path, sys.argv[1:])
servers = SGLangServers(ServerSettings(model=model, python=python, stop_grace_s=1.0, startup_timeout_s=60.0,
                                     log_dir=model / "logs"))
servers.start()
member = servers._members[0].process
print(member.pid, member.supervisor_pid, flush=True)
time.sleep(600)
"""


class _Parent:
    """A Python process that started one stub server."""

    def __init__(self, model: Path, python: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(model), str(python)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.server, self.supervisor = map(int, self.process.stdout.readline().split())

    def kill(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(20)

    def gone(self) -> bool:
        return not exists(self.supervisor) and not group_of(self.server)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def parent_of(checkpoint: Path, stub_python: Callable[[str], Path]) -> Iterator[Callable[[str], _Parent]]:
    started: list[_Parent] = []

    def start(mode: str) -> _Parent:
        started.append(_Parent(checkpoint, stub_python(mode)))
        return started[-1]

    yield start
    for parent in started:
        parent.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_the_server_goes_with_its_parent(parent_of: Callable[[str], _Parent], number: int) -> None:
    parent = parent_of("ok")
    assert exists(parent.server)
    parent.kill(number)
    until(parent.gone, "server and supervisor end")


def test_a_server_that_ignores_sigterm_and_its_orphan_in_another_session_are_killed(
    parent_of: Callable[[str], _Parent], tmp_path: Path
) -> None:
    parent = parent_of("stubborn")
    grandchild = int((tmp_path / "grandchild").read_text())
    assert exists(grandchild)
    parent.kill(signal.SIGKILL)
    until(parent.gone, "server and supervisor end")
    until(lambda: not exists(grandchild), "the orphan ends")


def test_the_server_goes_with_its_supervisor(checkpoint: Path, tmp_path: Path) -> None:
    # The launcher's own watch: the kernel kills it when its parent dies.
    script = tmp_path / "program.py"
    script.write_text(
        "import sys, signal\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from servers._launch import die_with_parent\n"
        "die_with_parent(); print('watching', flush=True); signal.pause()\n"
    )
    process = _program([sys.executable, str(script)], tmp_path)
    until(lambda: "watching" in process.tail(), "the program watches")
    os.kill(process.supervisor_pid, signal.SIGKILL)
    until(lambda: not exists(process.pid), "the program ends")
    assert process.stop() == -9


def test_exit_code_and_last_lines(tmp_path: Path) -> None:
    process = _program(
        [sys.executable, "-c", "for i in range(99): print('line', i)\nraise SystemExit(7)"], tmp_path
    )
    until(lambda: process.poll() is not None, "it ends")
    assert process.poll() == 7
    assert process.tail(2) == "line 97\nline 98"
    assert process.stop() == 7


def test_the_log_is_private_and_scratch_is_removed(tmp_path: Path) -> None:
    process = _program(
        [
            sys.executable,
            "-c",
            "import tempfile, time; print(tempfile.mkdtemp(), flush=True); time.sleep(600)",
        ],
        tmp_path,
    )
    until(lambda: process.tail() != "", "it prints")
    scratch = Path(process.tail())
    assert scratch.is_dir()
    assert process.log.stat().st_mode & 0o077 == 0
    process.stop()
    assert not scratch.parent.exists()


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("rro-run-*"))
    with pytest.raises(ServerStartError, match="could not be started"):
        _program([str(tmp_path / "no-such-program")], tmp_path)
    assert set(Path(tempfile.gettempdir()).glob("rro-run-*")) <= before


def test_stop_takes_no_longer_than_the_grace_and_a_little(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); signal.pause()"
    )
    process = _program([sys.executable, "-c", code], tmp_path)
    until(lambda: process.tail() == "ready", "it ignores SIGTERM")
    started = time.monotonic()
    assert process.stop() == -9
    assert time.monotonic() - started < 8.0


@given(st.dictionaries(st.integers(2, 30), st.integers(1, 30), max_size=30))
def test_descendants_are_those_whose_ancestors_reach_the_root(parents: dict[int, int]) -> None:
    def reaches_root(pid: int) -> bool:
        seen = set()
        while pid in parents and pid not in seen:
            seen.add(pid)
            pid = parents[pid]
            if pid == 1:
                return True
        return False

    assert descendants(1, parents) == {pid for pid in parents if reaches_root(pid)}


def _program(argv: list[str], folder: Path) -> SupervisedProcess:
    return SupervisedProcess(
        argv, settings={}, environ=dict(os.environ), log=folder / "program.log", grace_s=0.5
    )
