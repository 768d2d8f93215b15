"""The real model and the real server, made and started once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rro_sdk.cli.model import make_smollm2
from rro_sdk.errors import ConfigError
from servers.settings import find_python
from servers.sglang import ServerSettings, SGLangServers

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ServedModel:
    """A running server: its address, its process, its log, and the seconds to its first token."""

    url: str
    pid: int
    log: Path
    ready_s: float
    model: Path


def _absent(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; in CI it must be there")
    pytest.skip(what)


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a checkpoint, made once per machine."""
    folder = REPOSITORY / "models" / "smollm2"
    if not folder.is_dir():
        make_smollm2(folder)
    return folder


@pytest.fixture(scope="session")
def sglang_python() -> Path:
    """An interpreter that has sglang."""
    try:
        return find_python(None)
    except ConfigError as error:
        _absent(str(error))
        raise


@pytest.fixture(scope="session")
def sglang_server(
    smollm2: Path, sglang_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedModel]:
    """One real server with SmolLM2 in float32 and no keys. Who changes its weights puts them back."""
    settings = ServerSettings(
        model=smollm2,
        python=sglang_python,
        dtype="float32",
        max_total_tokens=16384,
        log_dir=tmp_path_factory.mktemp("sglang"),
        startup_timeout_s=240.0,
        extra_args=("--enable-metrics",),
    )
    servers = SGLangServers(settings)
    servers.start()
    try:
        server = servers.servers[0]
        yield ServedModel(server.url, server.pid, server.log, server.ready_s, smollm2)
    finally:
        servers.stop()
