"""The examples that need no server run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.docs.conftest import Known


def run(example: str, *arguments: str, cwd: Path = REPOSITORY) -> str:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / example), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_environment() -> None:
    assert " pairs; first: lock-" in run("own_environment.py")


def test_another_trainer(known: Known) -> None:
    assert run("another_trainer.py", "runs/first", cwd=known.folder).startswith("batch 1: 4 pairs")
