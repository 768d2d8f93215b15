"""What a server is started with, checked before anything is started."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from rro_sdk.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]

PYTHON_VARIABLE = "RRO_SGLANG_PYTHON"
ENVIRONMENT = Path(".venv-sglang") / "bin" / "python"

_OURS = {
    "--model-path": "model",
    "--model": "model",
    "--served-model-name": "served_name",
    "--host": "host",
    "--port": "port",
    "--device": "device",
    "--dtype": "dtype",
    "--tp": "tp",
    "--tp-size": "tp",
    "--tensor-parallel-size": "tp",
    "--weight-version": "weight_version",
    "--max-total-tokens": "max_total_tokens",
    "--max-running-requests": "max_running_requests",
    "--api-key": "api_key",
    "--admin-api-key": "admin_api_key",
}
"""Flags of SGLang that a setting stands for. A key among them would show in the process list."""

_KEYS_NEED_ONE_TOKENIZER = "--tokenizer-worker-num"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How to start one SGLang server, or several alike.

    Attributes:
        model: checkpoint folder (config.json and safetensors).
        served_name: the name clients ask for; the folder's name by default.
        host: address to listen on. Anything but loopback is reachable by others.
        port: of the first server, the next ones taking the ports after it; None takes free ones.
        device: `auto` takes the GPU where torch sees one.
        dtype: of the weights as computed with. `auto`: the checkpoint's on CPU, SGLang's choice on a GPU.
        max_total_tokens: size of the KV cache; None is 32,768 on CPU and SGLang's choice on a GPU.
        max_running_requests: decoded at once; None is 32 on CPU and SGLang's choice on a GPU.
        api_key: bearer token of generation and information routes.
        admin_api_key: bearer token of control routes (update, pause, flush, abort).
        weight_version: name of the weights that it starts with.
        tp: tensor-parallel ranks of each server.
        extra_args: further flags of SGLang, as they stand.
        python: interpreter of the SGLang environment; see `find_python`.
        log_dir: folder for log files; a temporary one by default, removed after a clean stop.
        startup_timeout_s: until the first token. A small model on two CPU cores needs 15-30 s; a large one
            on a GPU is bound by reading its weights.
        stop_grace_s: between asking a server to end and killing it.
    """

    model: Path
    served_name: str = ""
    host: str = "127.0.0.1"
    port: int | None = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    max_total_tokens: int | None = None
    max_running_requests: int | None = None
    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)
    weight_version: str = "default"
    tp: int = 1
    extra_args: tuple[str, ...] = ()
    python: Path | None = None
    log_dir: Path | None = None
    startup_timeout_s: float = 300.0
    stop_grace_s: float = 10.0

    def __post_init__(self) -> None:
        model = check_checkpoint(Path(self.model))
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "served_name", self.served_name or model.name)
        object.__setattr__(self, "extra_args", tuple(self.extra_args))
        for name, value, allowed in (
            ("device", self.device, get_args(Device)),
            ("dtype", self.dtype, get_args(Dtype)),
        ):
            if value not in allowed:
                raise ConfigError(f"{name} {value!r} is none of {', '.join(allowed)}")
        if not self.host:
            raise ConfigError("host is empty; 127.0.0.1 is this machine alone")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ConfigError(f"port {self.port} is outside 1-65535; leave it out for a free one")
        for name in ("tp", "max_total_tokens", "max_running_requests"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be 1 or more, not {count}")
        for name in ("startup_timeout_s", "stop_grace_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be more than 0 s, not {getattr(self, name)}")
        for name in ("api_key", "admin_api_key"):
            _check_key(name, getattr(self, name))
        if not self.weight_version:
            raise ConfigError("weight_version is empty; leave it out for 'default'")
        self._check_extra_args()

    def _check_extra_args(self) -> None:
        for argument in self.extra_args:
            flag = argument.partition("=")[0]
            if flag in _OURS:
                raise ConfigError(f"{flag} among extra_args: use the setting {_OURS[flag]} instead")
            if flag == _KEYS_NEED_ONE_TOKENIZER and (self.api_key or self.admin_api_key):
                raise ConfigError(
                    f"{flag} does not go with API keys: SGLang checks them in one tokenizer only"
                )

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach the host."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    def for_launcher(self, port: int) -> dict[str, Any]:
        """What `_launch.py` reads. Holds the keys: goes through a pipe and nowhere else."""
        return {
            "model": str(self.model),
            "served_name": self.served_name,
            "host": self.host,
            "port": port,
            "device": self.device,
            "dtype": self.dtype,
            "max_total_tokens": self.max_total_tokens,
            "max_running_requests": self.max_running_requests,
            "api_key": self.api_key,
            "admin_api_key": self.admin_api_key,
            "weight_version": self.weight_version,
            "tp": self.tp,
            "extra_args": list(self.extra_args),
        }

    def with_port(self, port: int | None) -> ServerSettings:
        return replace(self, port=port)


def _check_key(name: str, key: str | None) -> None:
    # It travels in a header: an empty one would leave the server open, an odd one could not be sent.
    if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"{name} must be printable ASCII without spaces; leave it out for no key")


def check_checkpoint(path: Path) -> Path:
    """The absolute path of a folder that looks like a checkpoint.

    Raises:
        ConfigError: no such folder, or one without config.json or safetensors.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise ConfigError(f"model path {path} {what}; give a checkpoint folder (or `rro model get smollm2`)")
    if not (path / "config.json").is_file():
        raise ConfigError(f"model path {path} holds no config.json; it is not a checkpoint folder")
    if not any(path.glob("*.safetensors")):
        raise ConfigError(f"model path {path} holds no *.safetensors; it is not a checkpoint folder")
    return path.resolve()


def find_python(asked: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """The interpreter that has sglang.

    The first of: `asked`; the variable RRO_SGLANG_PYTHON; .venv-sglang in the current folder, then beside
    the installed packages; this interpreter, where it can import sglang.

    Raises:
        ConfigError: none of them, or one that was named and cannot be run.
    """
    environ = os.environ if environ is None else environ
    named: str | Path | None = asked
    source = "the setting python"
    if named is None and (named := environ.get(PYTHON_VARIABLE)):
        source = PYTHON_VARIABLE
    if named:
        found = shutil.which(named)
        if found is None:
            raise ConfigError(f"{named} ({source}) cannot be run; name SGLang's interpreter")
        return Path(found).absolute()
    for folder in (Path.cwd(), Path(__file__).resolve().parent.parent):
        if os.access(folder / ENVIRONMENT, os.X_OK):
            return folder / ENVIRONMENT  # not resolved: the link's place is what makes it an environment
    if importlib.util.find_spec("sglang") is not None:
        return Path(sys.executable)
    raise ConfigError(
        f"no interpreter with sglang was found; run `make setup`, or point {PYTHON_VARIABLE} at the python "
        "of an environment where sglang is installed"
    )
