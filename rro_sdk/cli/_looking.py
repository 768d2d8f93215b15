"""What `rro doctor` looks at: machine, packages, data, a model's folder, servers. Judged in `_findings`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rro_sdk.cli import _findings
from rro_sdk.cli._findings import Finding
from rro_sdk.errors import ConfigError, ServerError

if TYPE_CHECKING:
    from rro_sdk.inference.transport import Transport

DISTRIBUTION = "rro-sdk"

CHILD_LIMIT_S = 30.0
"""nvidia-smi takes seconds on a machine with many GPUs; reading a version takes a fraction of one."""

SERVER_LIMIT_S = 10.0
"""A server that runs answers at once; what it serves is no question of load."""

TOKEN_LIMIT_S = 60.0
"""One token of a busy server may wait behind others."""


def at_machine() -> list[Finding]:
    """Python, packages, room, and what there is to compute with."""
    from importlib import metadata

    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        todo = f"pip install {DISTRIBUTION}"
        return [Finding("packages", "fail", f"{DISTRIBUTION} is on the path and not installed", todo)]
    tested = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier", [])
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    installed = {
        each.metadata["Name"].lower().replace("_", "-").replace(".", "-"): each.version
        for each in metadata.distributions()
        if each.metadata["Name"]
    }
    extras = [name for name in about.get_all("Provides-Extra", []) if name != "dev"]
    python = ".".join(map(str, sys.version_info[:3]))
    return [
        _findings.of_python(python, about["Requires-Python"], tested),
        *_findings.of_packages(metadata.requires(DISTRIBUTION) or [], extras, installed),
        _room(),
        _files(),
        *_findings.of_device(_cores(), _memory(), _gpus(), installed.get("torch")),
    ]


def _room() -> Finding:
    place = Path.cwd()
    return _findings.of_disk(str(place), shutil.disk_usage(place).free, os.access(place, os.W_OK))


def _files() -> Finding:
    import resource

    return _findings.of_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int | None:
    names = os.sysconf_names
    if "SC_PHYS_PAGES" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gpus() -> list[str] | None:
    if shutil.which("nvidia-smi") is None:
        return []
    code, said = _child(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    return [line.strip() for line in said.splitlines() if line.strip()] if code == 0 else None


def _child(argv: Sequence[str]) -> tuple[int, str]:
    """Exit code and output of a program; 1 where it cannot be run or does not end."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=CHILD_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout


def at_settings(root: click.Context) -> list[Finding]:
    """The settings file, and environment variables that set nothing."""
    from rro_sdk.cli._settings import file_of, read
    from rro_sdk.cli.config import stray_variables

    assert isinstance(root.command, click.Group)
    path = file_of(root.params["config"])
    try:
        if path is not None:
            read(root.command, root, path)
        found = [Finding("settings", "ok", f"{path} is right" if path else "no rro.toml here; defaults")]
    except ConfigError as error:
        found = [Finding("settings", "fail", str(error), "correct it; rro config show checks it")]
    for name, like in stray_variables(root).items():
        todo = f"set {like} in its place" if like else "unset it; rro config show --all has all settings"
        found.append(Finding("settings", "warn", f"the variable {name} sets no option", todo))
    return found


def at_data() -> Finding:
    """Which data sets are here; every environment works without them."""
    from rro_sdk.data.store import inventory
    from rro_sdk.envs._data import data_folder

    try:
        data_folder()  # which environments ask, and which refuses an RRO_DATA that is no folder
        return _findings.of_data({each.name: each.state for each in inventory()})
    except ConfigError as error:
        return Finding("data", "fail", str(error), "rro data list says where it looks")


def at_sglang(asked: Path | None) -> Finding:
    """The environment that `rro serve` starts servers from."""
    from servers.settings import find_python

    try:
        python = find_python(asked)
    except ConfigError as error:
        status: _findings.Status = "fail" if asked or os.environ.get("RRO_SGLANG_PYTHON") else "warn"
        return Finding("sglang", status, str(error), "no need of it where servers run elsewhere")
    code, said = _child(
        [str(python), "-I", "-c", "from importlib.metadata import version as v; print(v('sglang'))"]
    )
    if code != 0:
        return Finding("sglang", "fail", f"{python} has no sglang", "install sglang there, or run make setup")
    return Finding("sglang", "ok", f"{said.strip()} in {python}")


def at_model(folder: Path) -> Finding:
    """A checkpoint's folder, and its chat template, without which no server can write a prompt."""
    from servers.settings import check_checkpoint

    try:
        check_checkpoint(folder)
    except ConfigError as error:
        return Finding("model", "fail", str(error), "give the folder of a checkpoint")
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return Finding("model", "ok", f"{folder} has a chat template")
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    if isinstance(settings, dict) and settings.get("chat_template"):
        return Finding("model", "ok", f"{folder} has a chat template")
    todo = "take the instruct variant of the model, or put a chat_template.jinja into the folder"
    return Finding("model", "fail", f"{folder} has no chat template", todo)


def at_servers(urls: Sequence[str], api_key: str | None) -> list[Finding]:
    """Whether each server answers, what it serves, and whether it can say a token."""
    return asyncio.run(_ask(urls, api_key))


async def _ask(urls: Sequence[str], api_key: str | None) -> list[Finding]:
    from rro_sdk.inference.transport import Transport

    async with Transport(api_key=api_key) as transport:
        asked = await asyncio.gather(*(_ask_one(url, transport) for url in urls))
    served = {url: what for url, (_, what) in zip(urls, asked, strict=True) if what is not None}
    return [*(finding for finding, _ in asked), *_findings.of_served(served)]


async def _ask_one(url: str, transport: Transport) -> tuple[Finding, tuple[str, str] | None]:
    from rro_sdk.inference.server import Server
    from rro_sdk.inference.wire import ChatRequest
    from rro_sdk.types import Message

    server, name = Server(url, transport), f"server {url}"
    try:
        began = time.monotonic()
        info = await server.model_info(timeout_s=SERVER_LIMIT_S)
        answered = time.monotonic() - began
    except ServerError as error:
        return Finding(name, "fail", str(error), "start it with rro serve, or correct --servers"), None
    served = info.model_path, info.weight_version
    said = (
        f"{info.model_path}, weight version {info.weight_version or 'unknown'}, answers in {answered:.3f} s"
    )
    hello = ChatRequest((Message("user", "Hello"),), Path(info.model_path).name, 0.0, max_tokens=1)
    try:
        await server.complete(hello, timeout_s=TOKEN_LIMIT_S)
    except ServerError as error:
        todo = "see the server's log; a model without a chat template cannot answer"
        return Finding(name, "fail", f"{said}; but no token: {error}", todo), served
    return Finding(name, "ok", said), served
