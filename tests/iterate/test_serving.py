"""What is known of the servers that the loop started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from trainers.iterate.serving import Keys, PolicyServers
from trainers.iterate.tables import ServersTable

BUSY = """
import subprocess, sys, time
if len(sys.argv) == 1:
    below = subprocess.Popen([sys.executable, __file__, "below"], stdin=sys.stdin, stdout=subprocess.PIPE)
    below.stdout.readline()
while time.process_time() < 0.5:
    pass
print(flush=True)
sys.stdin.read()
"""


class Program:
    """Stands for a server: a process of this pid."""

    urls = ("http://127.0.0.1:1",)

    def __init__(self, pid: int) -> None:
        self.pids = (pid,)

    def alive(self) -> bool:
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None


def test_the_cpu_time_of_a_server_is_of_all_its_processes(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    servers = PolicyServers(ServersTable(start=1), Keys(), tmp_path)
    assert servers.cpu_s() is None
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        servers._started = Program(program.pid)
        used = servers.cpu_s()
        assert used is not None
        assert 0.9 <= used < 60
        program.communicate()
    assert servers.cpu_s() is None


def test_what_other_machines_use_is_not_known(tmp_path: Path) -> None:
    servers = PolicyServers(ServersTable(start=1, engine="ray"), Keys(), tmp_path)
    servers._started = Program(os.getpid())
    assert servers.cpu_s() is None
