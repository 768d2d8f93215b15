"""Starts one SGLang server. Run by file path under SGLang's own interpreter, where rro_sdk is not installed.

Reads its settings as one JSON object from standard input, because a process's command line and environment
can be read by others and the settings hold the API keys. Standard library and sglang alone.

SGLang's children are spawned: they import this file again as `__mp_main__`, so what stands at module level
runs in each of them.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
from types import ModuleType
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100,PTH120 (runs at start, in every child)
SHIM_FLAG = "RRO_SGLANG_CPU_SHIM"
"""Set by the first process for its children, which must not decide anew."""

CPU_MAX_TOTAL_TOKENS = 32768
CPU_MAX_RUNNING_REQUESTS = 32
"""Where the settings name none: SGLang would take most of the memory of a small machine."""

CPU_CHUNK_TOKENS = 1024
"""A second or two of prefill for a small model on one core; a reload with `retract` pauses 0.14 s beyond the
load with it, and 0.40 s without (benchmarks.reload)."""

# This folder holds a module `sglang.py`, which would shadow the real one.
sys.path[:] = [entry for entry in sys.path if not entry or os.path.abspath(entry) != HERE]  # noqa: PTH100


def _shim() -> ModuleType:
    path = os.path.join(HERE, "_cpu_shim.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location("_rro_cpu_shim", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing: the installation is broken")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if os.environ.get(SHIM_FLAG) == "1":
    _shim().install()


def die_with_parent() -> None:
    """Have the kernel kill this process when the supervisor dies, however it dies. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    expected = os.environ.get("RRO_SUPERVISOR_PID")
    if expected is not None and int(expected) != os.getppid():  # it died before the call above
        sys.exit("the supervisor is gone")


def choose_device(asked: str, cuda_available: bool) -> str:
    """`auto` is the GPU where torch sees one. A GPU that is asked for and absent ends the start here."""
    if asked == "auto":
        return "cuda" if cuda_available else "cpu"
    if asked == "cuda" and not cuda_available:
        sys.exit("device cuda was asked for, but torch sees no CUDA device; use --device cpu or auto")
    return asked


def choose_dtype(asked: str, device: str, stored: str | None) -> str:
    """SGLang turns `auto` into float16 for a float32 checkpoint, which a CPU computes badly."""
    if asked != "auto" or device != "cpu":
        return asked
    return "float32" if stored in (None, "float32") else "bfloat16"


def stored_dtype(model: str) -> str | None:
    with open(os.path.join(model, "config.json"), encoding="utf-8") as file:  # noqa: PTH118,PTH123
        config = json.load(file)
    found = config.get("dtype") or config.get("torch_dtype")
    return found if isinstance(found, str) else None


def build_argv(settings: dict[str, Any], device: str, dtype: str) -> list[str]:
    """SGLang's command line, which holds no key. The same for both devices but for what a CPU cannot do."""
    argv = ["--model-path", settings["model"], "--served-model-name", settings["served_name"]]
    argv += ["--host", settings["host"], "--port", str(settings["port"])]
    argv += ["--device", device, "--dtype", dtype, "--tp-size", str(settings["tp"])]
    argv += ["--weight-version", settings["weight_version"]]
    argv += ["--enable-cache-report", "--enable-metrics", "--log-level-http", "warning"]
    # SGLang's own warm-up cannot authenticate (see serve), and the first readiness probe generates a token.
    argv += ["--skip-server-warmup"]
    tokens, running = settings["max_total_tokens"], settings["max_running_requests"]
    if device == "cpu":
        argv += ["--attention-backend", "torch_native", "--disable-cuda-graph", "--disable-overlap-schedule"]
        # A long prompt is computed in pieces, so that a reload need not wait seconds for the piece under way.
        argv += ["--chunked-prefill-size", str(CPU_CHUNK_TOKENS)]
        argv += ["--sleep-on-idle"]  # a polling scheduler would take a core from whatever trains beside it
        tokens, running = tokens or CPU_MAX_TOTAL_TOKENS, running or CPU_MAX_RUNNING_REQUESTS
    if tokens:
        argv += ["--max-total-tokens", str(tokens)]
    if running:
        argv += ["--max-running-requests", str(running)]
    return argv + list(settings["extra_args"])


def cpu_environment(tp: int, cpus: list[int]) -> dict[str, str]:
    """Variables for a CPU server: one thread by default, since two collapse on contended cores, and threads
    that sleep while they wait, so that a trainer beside the server gets the core.
    """
    found = {"SGLANG_USE_CPU_ENGINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    if tp > 1:  # each rank on cores of its own; SGLang finds none by itself without NUMA nodes
        share = max(1, len(cpus) // tp)
        groups = [[cpus[(rank * share + i) % len(cpus)] for i in range(share)] for rank in range(tp)]
        found["SGLANG_CPU_OMP_THREADS_BIND"] = "|".join(",".join(map(str, group)) for group in groups)
    return found


def serve(settings: dict[str, Any]) -> None:
    """Run the server until it is told to stop."""
    import torch

    device = choose_device(settings["device"], torch.cuda.is_available())
    # Seconds between two looks for clients that have gone; SGLang's own 4 leave their requests running.
    os.environ.setdefault("SGLANG_REQUEST_STATE_WAIT_TIMEOUT", "1")
    if device == "cpu":
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
        for name, value in cpu_environment(settings["tp"], cpus).items():
            os.environ.setdefault(name, value)
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        shim = _shim()
        if shim.needed():
            os.environ[SHIM_FLAG] = "1"
            shim.install()
    dtype = choose_dtype(settings["dtype"], device, stored_dtype(settings["model"]))

    from sglang.launch_server import run_server
    from sglang.srt.entrypoints.http_server import app
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree
    from sglang.srt.utils.auth import add_api_key_middleware

    # Not through ServerArgs: SGLang logs those at start, and /server_info shows the admin key to whoever
    # holds the API key. The parent checks after the start that the keys are asked for.
    if settings["api_key"] or settings["admin_api_key"]:
        add_api_key_middleware(app, api_key=settings["api_key"], admin_api_key=settings["admin_api_key"])
    arguments = prepare_server_args(build_argv(settings, device, dtype))
    try:
        run_server(arguments)
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


if __name__ == "__main__":
    die_with_parent()
    serve(json.load(sys.stdin))
