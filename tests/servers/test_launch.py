from __future__ import annotations

import json
from pathlib import Path

import pytest

from servers import _cpu_shim, _launch
from servers.settings import ServerSettings


def test_one_command_line_for_both_devices(checkpoint: Path) -> None:
    settings = ServerSettings(
        model=checkpoint, api_key="k-secret", admin_api_key="a-secret", extra_args=("--x", "1")
    )
    sent = settings.for_launcher(30000)
    cpu = _launch.build_argv(sent, "cpu", "float32")
    cuda = _launch.build_argv(sent, "cuda", "auto")
    assert "secret" not in " ".join(cpu + cuda)
    for argv in (cpu, cuda):
        assert argv[-2:] == ["--x", "1"]
        assert argv[argv.index("--port") + 1] == "30000"
        assert argv[argv.index("--host") + 1] == "127.0.0.1"
        assert {"--enable-cache-report", "--enable-metrics", "--skip-server-warmup"} <= set(argv)
    assert set(cuda) - set(cpu) == {"cuda", "auto"}
    assert cpu[cpu.index("--attention-backend") + 1] == "torch_native"
    assert cpu[cpu.index("--max-total-tokens") + 1] == "32768"
    assert "--max-total-tokens" not in cuda


def test_limits_are_passed_on_both_devices(checkpoint: Path) -> None:
    sent = ServerSettings(model=checkpoint, max_total_tokens=99, max_running_requests=7).for_launcher(1)
    for device in ("cpu", "cuda"):
        argv = _launch.build_argv(sent, device, "auto")
        assert argv[argv.index("--max-total-tokens") + 1] == "99"
        assert argv[argv.index("--max-running-requests") + 1] == "7"


def test_device() -> None:
    assert _launch.choose_device("auto", True) == "cuda"
    assert _launch.choose_device("auto", False) == "cpu"
    assert _launch.choose_device("cpu", True) == "cpu"
    with pytest.raises(SystemExit, match="cuda was asked for"):
        _launch.choose_device("cuda", False)


@pytest.mark.parametrize(
    ("asked", "device", "stored", "found"),
    [
        ("auto", "cpu", "float32", "float32"),
        ("auto", "cpu", None, "float32"),
        ("auto", "cpu", "bfloat16", "bfloat16"),
        ("auto", "cpu", "float16", "bfloat16"),
        ("auto", "cuda", "float32", "auto"),
        ("float32", "cpu", "bfloat16", "float32"),
    ],
)
def test_dtype(asked: str, device: str, stored: str | None, found: str) -> None:
    assert _launch.choose_dtype(asked, device, stored) == found


def test_stored_dtype(tmp_path: Path) -> None:
    for config, found in (({"dtype": "a"}, "a"), ({"torch_dtype": "b"}, "b"), ({}, None)):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert _launch.stored_dtype(str(tmp_path)) == found


def test_cpu_environment() -> None:
    assert _launch.cpu_environment(1, [0, 1]) == {
        "SGLANG_USE_CPU_ENGINE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    assert _launch.cpu_environment(2, [0, 1])["SGLANG_CPU_OMP_THREADS_BIND"] == "0|1"
    assert _launch.cpu_environment(2, [2, 3, 6, 7])["SGLANG_CPU_OMP_THREADS_BIND"] == "2,3|6,7"
    assert _launch.cpu_environment(2, [5])["SGLANG_CPU_OMP_THREADS_BIND"] == "5|5"


def test_the_shim_says_what_it_is() -> None:
    with pytest.raises(NotImplementedError, match=r"sgl_kernel\.verify_tree_greedy_cpu is a stand-in"):
        _cpu_shim.absent("verify_tree_greedy_cpu")(1, 2)
