"""No room, or a broken disk, at any write, sync or rename: a clear error, and the run goes on later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="the failing disk is a preloaded library")
def test_every_write_of_a_run_fails_in_turn(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for the failing disk")
    library = tmp_path / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.failing_disk", str(library), str(tmp_path)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    print(shown)
    assert shown["calls"] > 50
    assert shown["error"] > shown.get("went on", 0)
