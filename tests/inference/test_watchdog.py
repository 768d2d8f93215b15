"""A reloader that is killed leaves no server paused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rro_sdk.errors import ReloadError
from rro_sdk.inference import watchdog as module
from rro_sdk.inference.engines import Call
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.watchdog import Watchdog
from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import write_checkpoint
from tests.servers.processes import exists, group_of

KEY = "admin-key-for-the-watchdog"

RELOADER = """
import asyncio, os, sys, time
from rro_sdk.inference.engines import SGLang
from rro_sdk.inference.weights import ReloadSettings, reload_weights

async def never(self, *arguments, **settings):
    if sys.argv[3] == "forked" and os.fork() == 0:
        time.sleep(60)  # a copy of this process, which holds the pipe open
    print("paused", flush=True)
    await asyncio.Event().wait()

SGLang.update = never
key = sys.stdin.readline().strip()
asyncio.run(reload_weights([sys.argv[1]], sys.argv[2], ReloadSettings(admin_api_key=key)))
"""


def children_of(pid: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.add(int(folder.name))
    return found


async def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def pause(server: FakeServer) -> None:
    async with Transport() as transport:
        await transport.post(server.url, "/pause_generation", b'{"mode": "retract"}', timeout_s=10)
    assert server.paused


@pytest.mark.parametrize("killed", ["alone", "group", "forked"])
async def test_a_kill_between_pause_and_continue(killed: str, tmp_path: Path) -> None:
    served, new = write_checkpoint(tmp_path / "served"), write_checkpoint(tmp_path / "new", fill=1)
    async with FakeServer(FakeSettings(model_path=str(served), admin_api_key=KEY)) as server:
        with subprocess.Popen(  # noqa: ASYNC220 (a few milliseconds, and no other task to hold up)
            [sys.executable, "-c", RELOADER, server.url, str(new), killed],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as reloader:
            assert reloader.stdin is not None
            assert reloader.stdout is not None
            try:
                reloader.stdin.write(KEY.encode() + b"\n")
                reloader.stdin.flush()
                assert await asyncio.to_thread(reloader.stdout.readline) == b"paused\n"
                assert server.paused
                dogs = children_of(reloader.pid) - group_of(reloader.pid)
                assert len(dogs) == 1
                for dog in dogs:
                    for name in ("cmdline", "environ"):
                        assert KEY.encode() not in Path(f"/proc/{dog}/{name}").read_bytes()
                if killed == "group":
                    os.killpg(reloader.pid, signal.SIGKILL)
                else:
                    reloader.kill()
                await until(lambda: not server.paused, "the watchdog continues the server")
                await until(lambda: not any(exists(dog) for dog in dogs), "and ends")
            finally:
                if group_of(reloader.pid):
                    os.killpg(reloader.pid, signal.SIGKILL)


async def test_a_server_that_comes_up_late_is_continued_too() -> None:
    async with FakeServer() as server:
        port = int(server.url.rpartition(":")[2])
    dog = Watchdog([Call(server.url, "/continue_generation")], key=None)
    dog.take_over()
    before = children_of(os.getpid())
    async with dog:
        (pid,) = children_of(os.getpid()) - before
    assert exists(pid), "it waits for the server"
    late = FakeServer(FakeSettings(port=port))
    late._state.pause_mode = "retract"  # before it listens, or the watchdog is there first
    async with late:
        await until(lambda: not late.paused, "it is continued")
    await until(lambda: not exists(pid), "the watchdog ends")


async def test_it_does_nothing_where_nothing_went_wrong() -> None:
    async with FakeServer() as server:
        await pause(server)
        before = children_of(os.getpid())
        async with Watchdog([Call(server.url, "/continue_generation")], key=None):
            (pid,) = children_of(os.getpid()) - before
        assert not exists(pid)
        assert server.paused


async def test_one_that_does_not_start_stops_the_reload_before_a_server_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCRIPT", tmp_path / "absent.py")
    with pytest.raises(ReloadError, match="no server was touched"):
        async with Watchdog([], key=None):
            raise AssertionError("it started")


async def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    before = children_of(os.getpid())
    for turns in range(4):
        dog = Watchdog([], key=None)
        starting = asyncio.create_task(dog.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    assert children_of(os.getpid()) <= before
