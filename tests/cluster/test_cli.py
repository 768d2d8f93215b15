"""What the command line refuses of a run on a cluster, before anything is begun."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rro_sdk.cli import main
from rro_sdk.cli._cluster import cluster_settings

SAMPLE = ["sample", "--env", "tests.chaos.toy_suite:suite", "-s", "http://127.0.0.1:9"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shared", "/mnt"], "--shared is for --engine ray alone"),
        (["--samplers", "2"], "--samplers is for --engine ray alone"),
        (["--engine", "ray", "--address", "head:6379"], "--address needs --shared"),
        (["--engine", "ray", "--shared", "sftp://me:hunter2@host/shards"], "--shared holds a password"),
        (["--engine", "ray", "--samplers", "0"], "needs at least 1 sampler, not 0"),
        (["--engine", "ray", "--block-tasks", "0"], "a block must have at least 1 task, not 0"),
    ],
)
def test_options_that_cannot_be_are_refused_and_nothing_is_begun(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tasks").write_text("3")
    with pytest.raises(SystemExit) as ended:
        main([*SAMPLE, "--tasks", str(tmp_path / "tasks"), "--run", str(tmp_path / "run"), *options])
    assert ended.value.code == 2 and said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tasks"]


def test_a_run_folder_that_holds_something_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tasks").write_text("3")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    options = ["--tasks", str(tmp_path / "tasks"), "--run", str(tmp_path / "run"), "--engine", "ray"]
    with pytest.raises(SystemExit) as ended:
        main([*SAMPLE, *options])
    assert ended.value.code == 2 and "is not empty" in capsys.readouterr().err
    assert not (tmp_path / "run.shards").exists()


def test_one_machine_has_its_shards_beside_the_run(tmp_path: Path) -> None:
    found = cluster_settings(
        "ray", tmp_path / "first", address=None, shared=None, samplers=None, block_tasks=None
    )
    assert found is not None and found["shared"] == str(tmp_path / "first.shards")


def test_neither_ray_nor_fsspec_is_loaded_before_it_is_needed() -> None:
    code = "import sys, rro_sdk.cluster; sys.exit(len({'ray', 'fsspec', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
