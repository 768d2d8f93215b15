from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.errors import ConfigError
from servers.settings import ServerSettings, check_checkpoint, find_python


def test_defaults(checkpoint: Path) -> None:
    settings = ServerSettings(model=checkpoint)
    assert settings.served_name == "checkpoint"
    assert settings.host == "127.0.0.1"
    assert not settings.is_public


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "tpu"}, "device 'tpu'"),
        ({"dtype": "int3"}, "dtype 'int3'"),
        ({"port": 0}, "port 0"),
        ({"port": 70000}, "port 70000"),
        ({"tp": 0}, "tp must be"),
        ({"max_total_tokens": 0}, "max_total_tokens"),
        ({"startup_timeout_s": 0.0}, "startup_timeout_s"),
        ({"startup_timeout_s": float("nan")}, "startup_timeout_s"),
        ({"api_key": ""}, "api_key"),
        ({"admin_api_key": "two words"}, "admin_api_key"),
        ({"host": ""}, "host"),
        ({"weight_version": ""}, "weight_version"),
        ({"extra_args": ("--api-key=abc",)}, "setting api_key"),
        ({"extra_args": ("--port", "1")}, "setting port"),
        ({"api_key": "k", "extra_args": ("--tokenizer-worker-num", "2")}, "--tokenizer-worker-num"),
    ],
)
def test_bad_settings_are_named(checkpoint: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        ServerSettings(model=checkpoint, **change)
    assert caught.value.exit_code == 2
    assert "abc" not in str(caught.value)  # a key does not get into an error


@pytest.mark.parametrize(
    ("host", "public"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("127.5.0.1", False), ("0.0.0.0", True),
     ("::", True), ("10.0.0.3", True), ("a-host-name", True)],
)  # fmt: skip
def test_public_hosts(checkpoint: Path, host: str, public: bool) -> None:
    assert ServerSettings(model=checkpoint, host=host).is_public is public


def test_keys_are_not_shown(checkpoint: Path) -> None:
    shown = repr(ServerSettings(model=checkpoint, api_key="k-secret", admin_api_key="a-secret"))
    assert "secret" not in shown


def test_checkpoint_folder(tmp_path: Path, checkpoint: Path) -> None:
    assert check_checkpoint(checkpoint) == checkpoint.resolve()
    with pytest.raises(ConfigError, match="does not exist"):
        check_checkpoint(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is a file"):
        check_checkpoint(checkpoint / "config.json")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="safetensors"):
        check_checkpoint(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json"):
        check_checkpoint(checkpoint)


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_python_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    local = _program(tmp_path / ".venv-sglang" / "bin" / "python")
    named = _program(tmp_path / "named")
    asked = _program(tmp_path / "asked")
    assert find_python(asked, {"RRO_SGLANG_PYTHON": str(named)}) == asked
    assert find_python(None, {"RRO_SGLANG_PYTHON": str(named)}) == named
    assert find_python(None, {}) == local


def test_python_that_cannot_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="RRO_SGLANG_PYTHON"):
        find_python(None, {"RRO_SGLANG_PYTHON": str(tmp_path / "no")})
    with pytest.raises(ConfigError, match="setting python"):
        find_python(tmp_path / "no", {})


def test_settings_pickle(checkpoint: Path) -> None:
    settings = ServerSettings(model=checkpoint, extra_args=("--a",))
    assert pickle.loads(pickle.dumps(settings)) == settings
