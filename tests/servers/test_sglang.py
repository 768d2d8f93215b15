"""SGLangServers against a stub of SGLang's interpreter: real processes and sockets, no model."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rro_sdk.errors import ConfigError, ServerError, ServerStartError
from servers.ports import Reservation
from servers.sglang import ServerSettings, SGLangServers, launch_environment
from tests.servers.ports import neighbours
from tests.servers.processes import command_lines, exists, group_of, until

Stub = Callable[[str], Path]


@pytest.fixture
def settings(checkpoint: Path, stub_python: Stub, tmp_path: Path) -> Callable[..., ServerSettings]:
    def make(mode: str = "ok", **change: Any) -> ServerSettings:
        common: dict[str, Any] = {
            "model": checkpoint,
            "python": stub_python(mode),
            "log_dir": tmp_path / "logs",
            "startup_timeout_s": 60.0,
            "stop_grace_s": 2.0,
        }
        return ServerSettings(**{**common, **change})

    return make


async def test_two_servers_from_start_to_end(settings: Callable[..., ServerSettings]) -> None:
    async with SGLangServers(settings(), count=2) as servers:
        assert len(set(servers.urls)) == 2
        assert servers.alive()
        servers.check()
        pids = [server.pid for server in servers.servers]
        for url in servers.urls:
            assert httpx2.get(f"{url}/v1/models", timeout=10).json()["data"][0]["id"] == "checkpoint"
        assert all(server.ready_s > 0 for server in servers.servers)
    assert not any(exists(pid) for pid in pids)
    assert servers.urls == ()
    assert not servers.alive()


def test_start_and_stop_without_a_loop(settings: Callable[..., ServerSettings]) -> None:
    servers = SGLangServers(settings())
    servers.start()
    with pytest.raises(ConfigError, match="started already"):
        servers.start()
    assert servers.alive()
    servers.stop()
    servers.stop()
    assert not servers.alive()


def test_ports_in_a_row(settings: Callable[..., ServerSettings]) -> None:
    first, second = neighbours()
    port = first.port
    first.close()
    second.close()
    servers = SGLangServers(settings(port=port), count=2)
    servers.start()
    try:
        assert servers.urls == (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}")
    finally:
        servers.stop()


def test_a_taken_port_is_named_before_anything_starts(
    settings: Callable[..., ServerSettings], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} "):
            SGLangServers(settings(port=port)).start()
    assert not (tmp_path / "settings.json").exists()


def test_a_server_that_dies_is_reported_with_its_last_lines(settings: Callable[..., ServerSettings]) -> None:
    with pytest.raises(ServerStartError, match="exit code 3") as caught:
        SGLangServers(settings("dies")).start()
    lines = str(caught.value).splitlines()
    assert lines[-1] == "line 39"
    assert len(lines) == 16  # the sentence and 15 lines
    assert "server-0-" in lines[0]
    assert caught.value.exit_code == 2


def test_a_server_that_is_never_ready(settings: Callable[..., ServerSettings]) -> None:
    servers = SGLangServers(settings("silent", startup_timeout_s=1.5))
    with pytest.raises(ServerStartError, match=r"not ready within 1\.5 s.*\nstub: starting"):
        servers.start()
    assert not servers.alive()


def test_another_free_port_after_a_clash(settings: Callable[..., ServerSettings], tmp_path: Path) -> None:
    servers = SGLangServers(settings("clashes_once"))
    servers.start()
    try:
        assert (tmp_path / "clashed").exists()
        assert servers.alive()
    finally:
        servers.stop()


def test_a_clash_on_a_port_that_was_asked_for_is_an_error(settings: Callable[..., ServerSettings]) -> None:
    with Reservation("127.0.0.1", None) as free:
        port = free.port
    with pytest.raises(ServerStartError, match="address already in use"):
        SGLangServers(settings("clashes_once", port=port)).start()


def test_another_program_behind_the_port_is_not_taken_for_ours(
    settings: Callable[..., ServerSettings],
) -> None:
    with pytest.raises(ServerStartError, match="another program"):
        SGLangServers(settings("other_model")).start()


@pytest.mark.parametrize(
    "keys", [{"api_key": "k"}, {"admin_api_key": "a"}, {"api_key": "k", "admin_api_key": "a"}]
)
def test_a_server_that_lets_anyone_in_is_refused(
    settings: Callable[..., ServerSettings], keys: dict[str, str]
) -> None:
    with pytest.raises(ServerStartError, match="does not ask for its keys"):
        SGLangServers(settings("open", **keys)).start()


def test_keys_are_in_no_command_line_environment_or_log(
    settings: Callable[..., ServerSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Named in the environment too, as `rro serve` takes them. This process's own /proc entry is older.
    key, admin = "k-" + os.urandom(8).hex(), "a-" + os.urandom(8).hex()
    monkeypatch.setenv("RRO_API_KEY", key)
    monkeypatch.setenv("RRO_ADMIN_API_KEY", admin)
    servers = SGLangServers(settings(api_key=key, admin_api_key=admin))
    servers.start()
    try:
        url = servers.urls[0]
        assert httpx2.get(f"{url}/model_info", timeout=10).status_code == 401
        bearer = {"Authorization": f"Bearer {key}"}
        assert httpx2.get(f"{url}/model_info", headers=bearer, timeout=10).status_code == 200
        said = command_lines() + "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
        assert str(settings().python) in said or "stub_launcher" in said
        assert key not in said
        assert admin not in said
    finally:
        servers.stop()


def test_a_server_that_dies_later_is_noticed(settings: Callable[..., ServerSettings]) -> None:
    servers = SGLangServers(settings())
    servers.start()
    try:
        os.kill(servers.servers[0].pid, signal.SIGKILL)
        until(lambda: not servers.alive(), "its end is noticed")
        with pytest.raises(ServerError, match="killed by signal 9"):
            servers.check()
    finally:
        servers.stop()


async def test_a_cancelled_start_leaves_nothing(settings: Callable[..., ServerSettings]) -> None:
    servers = SGLangServers(settings("silent"))
    entering = asyncio.ensure_future(servers.__aenter__())
    await asyncio.to_thread(until, lambda: bool(servers._members), "the server starts")
    pid = servers._members[0].process.pid
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert not group_of(pid)


def test_a_public_host_warns(
    settings: Callable[..., ServerSettings], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="servers.sglang"):
        servers = SGLangServers(settings(host="0.0.0.0"))
        servers.start()
        servers.stop()
    assert "other machines can reach" in caplog.text


def test_no_servers_asked_for(settings: Callable[..., ServerSettings]) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        SGLangServers(settings(), count=0)


def test_environment_of_a_server() -> None:
    given = {
        "PATH": "/bin",
        "PYTHONPATH": "/x",
        "RRO_API_KEY": "k",
        "RRO_ADMIN_API_KEY": "a",
        "HF_HUB_OFFLINE": "0",
    }
    found = launch_environment(given)
    assert found["PATH"] == "/bin"
    assert found["HF_HUB_OFFLINE"] == "0"
    assert not {"PYTHONPATH", "RRO_API_KEY", "RRO_ADMIN_API_KEY"} & set(found)
