"""A shared folder on S3, by s3fs against a moto server on loopback: `make chaos-cluster` installs both.

What does not need S3 is in test_shared.py, with fsspec's own storage of objects.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

S3 = REPOSITORY / ".venv-s3"
LIMIT_S = 300.0


@pytest.mark.skipif(not (S3 / ".ready").is_file(), reason="needs .venv-s3; make chaos-cluster makes it")
async def test_a_run_whose_samplers_die_is_the_same_on_s3_and_waits_for_it(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cluster.s3_child", str(tmp_path)),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{S3}{os.pathsep}{REPOSITORY}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            said, errors = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert said.decode().split() == ["same", "exclusive", "waited"], errors.decode()
