"""Recipes, as far as they can be tried without a cluster: a dry run, a schema, files that exist.

rayjob.schema.json holds what KubeRay's definition of a RayJob (ray.io/v1, August 2026) says of the fields
that the manifest uses, and allows no others.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
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


SCRIPT = ["bash", str(RECIPES / "slurm" / "sample.sbatch")]


def surroundings(folder: Path, stubs: Path) -> dict[str, str]:
    """A job's environment, on three nodes."""
    return {
        "PATH": f"{stubs}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "CALLS": str(folder / "calls"),
        "TMPDIR": str(folder),
        "SLURM_JOB_NODELIST": "node-[a-c]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "16",
    }


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """Stands in for what a cluster has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STUBS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def job(tmp_path: Path, stubs: Path) -> subprocess.Popen[bytes]:
    """The Slurm script at work."""
    arguments = [str(tmp_path / "runs"), "--tasks", "tasks.jsonl", "-s", "http://gpu-0:30000"]
    return subprocess.Popen([*SCRIPT, *arguments], env=surroundings(tmp_path, stubs))


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


def test_the_slurm_script_ends_where_ray_does_not_come_up(tmp_path: Path, stubs: Path) -> None:
    (stubs / "python").write_text("#!/bin/bash\nexit 1\n")
    ended = subprocess.run(
        [*SCRIPT, str(tmp_path / "runs")],
        env={**surroundings(tmp_path, stubs), "RAY_START_LIMIT": "-1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ended.returncode == 1 and "Ray did not come up on all 3 nodes" in ended.stderr


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


def test_the_containers_constraints_pin_nothing_twice(tmp_path: Path) -> None:
    lines = (RECIPES / "kubernetes" / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    (making,) = [line.removeprefix("RUN ") for line in lines if "constraints.txt" in line]
    steps = making.split("&& pip ")[0].replace("/tmp/", f"{tmp_path}/")
    for name in ("sdk.txt", "s3.txt"):
        shutil.copy(REPOSITORY / "requirements" / name, tmp_path)
    subprocess.run(["bash", "-ec", steps], check=True, timeout=LIMIT_S)
    pins = [
        line for line in (tmp_path / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    ]
    names = [re.sub("[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]
    assert len(names) == len(set(names)) and {"ray", "s3fs", "botocore", "aiohttp"} <= set(names)


def _containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    found: list[dict[str, Any]] = [
        each for group in groups for each in group["template"]["spec"]["containers"]
    ]
    return found
