"""Recipes, as far as they can be tried without a cluster: a dry run, a schema, files that exist.

rayjob.schema.json holds what KubeRay's definition of a RayJob (ray.io/v1, August 2026) says of the fields
that the manifest uses, and allows no others.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rro_sdk.cli.sample import command
from tests.conftest import REPOSITORY

RECIPES = REPOSITORY / "recipes"
LIMIT_S = 30.0

STUBS = {
    "scontrol": "printf 'node-a\\nnode-b\\nnode-c\\n'",
    "srun": 'echo "srun $*" >> "$CALLS"',
    "python": 'echo "ready $4" >> "$CALLS"',
    "rro": """trap 'exit 130' INT
echo "rro $*" >> "$CALLS"
while [ "$1" != --run ]; do shift; done
mkdir -p "$2" && echo '{}' > "$2/pairs.jsonl"
until [ -e "$CALLS.end" ]; do sleep 0.02; done""",
}


@pytest.fixture
def job(tmp_path: Path) -> subprocess.Popen[bytes]:
    """The Slurm script on three nodes, with stubs for what a cluster has."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name, body in STUBS.items():
        (stubs / name).write_text(f"#!/bin/bash\n{body}\n")
        (stubs / name).chmod(0o755)
    arguments = [str(tmp_path / "runs"), "--tasks", "tasks.jsonl", "-s", "http://gpu-0:30000"]
    return subprocess.Popen(
        ["bash", str(RECIPES / "slurm" / "sample.sbatch"), *arguments],
        env={
            "PATH": f"{stubs}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "CALLS": str(tmp_path / "calls"),
            "TMPDIR": str(tmp_path),
            "SLURM_JOB_NODELIST": "node-[a-c]",
            "SLURM_JOB_NUM_NODES": "3",
            "SLURM_CPUS_PER_TASK": "16",
        },
    )


def calls(folder: Path, job: subprocess.Popen[bytes]) -> list[str]:
    """What was called, once the run goes on."""
    (folder / "runs").mkdir()
    until = time.monotonic() + LIMIT_S
    while not list(folder.glob("tmp.*/run/pairs.jsonl")):
        assert job.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    return (folder / "calls").read_text().splitlines()


def test_the_slurm_script_starts_ray_on_every_node_and_samples(
    tmp_path: Path, job: subprocess.Popen[bytes]
) -> None:
    found = calls(tmp_path, job)
    (tmp_path / "calls.end").touch()
    assert job.wait(LIMIT_S) == 0
    head = "--overlap --nodes=1 --ntasks=1 --nodelist=node-a ray start --head --node-ip-address=node-a"
    assert f"srun {head} --port=6379 --num-cpus=16 --block" in found
    assert any("--nodes=2 --ntasks=2 --exclude=node-a" in line for line in found)
    assert "ready 3" in found
    (sampled,) = [line for line in found if line.startswith("rro ")]
    words = shlex.split(sampled)
    parsed = command.make_context("sample", words[2:]).params
    assert (parsed["engine"], parsed["address"]) == ("ray", "node-a:6379")
    assert parsed["shared"] == str(tmp_path / "runs" / "shards")
    assert (tmp_path / "runs" / "run" / "pairs.jsonl").is_file()


def test_the_slurm_script_passes_on_the_signal_before_the_end_of_its_time(
    tmp_path: Path, job: subprocess.Popen[bytes]
) -> None:
    calls(tmp_path, job)
    job.send_signal(signal.SIGINT)
    assert job.wait(LIMIT_S) == 130
    assert (tmp_path / "runs" / "run" / "pairs.jsonl").is_file()


def test_the_kubernetes_manifest_is_a_ray_job_and_its_command_a_command() -> None:
    manifest = yaml.safe_load((RECIPES / "kubernetes" / "rayjob.yaml").read_text())
    schema = json.loads((Path(__file__).parent / "rayjob.schema.json").read_text())
    jsonschema.validate(manifest, schema)
    entrypoint = shlex.split(manifest["spec"]["entrypoint"])
    assert entrypoint[:2] == ["rro", "sample"]
    assert command.make_context("sample", entrypoint[2:]).params["engine"] == "ray"
    cluster = manifest["spec"]["rayClusterSpec"]
    pins = (REPOSITORY / "requirements" / "sdk.txt").read_text().splitlines()
    assert f"ray=={cluster['rayVersion']}" in pins
    assert len({each["image"] for each in _containers(cluster)}) == 1
    broken = json.loads(json.dumps(manifest).replace('"groupName"', '"group_name"'))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_the_container_copies_what_exists() -> None:
    lines = (RECIPES / "kubernetes" / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied and all((REPOSITORY / word).exists() for word in copied)


def _containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    found: list[dict[str, Any]] = [
        each for group in groups for each in group["template"]["spec"]["containers"]
    ]
    return found
