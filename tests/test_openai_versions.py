"""OpenAIPolicy with openai 2.8 too, beside the 3.x that the rest of the tests run with.

`make test` installs 2.8 into a folder of its own; here it comes first on the path of a child process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / ".venv-openai-2.8"


def test_the_policy_works_with_openai_2_8() -> None:
    if not FOLDER.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{FOLDER.name} is missing; in CI it must be there (make {FOLDER.name}/.ready)")
        pytest.skip(f"no {FOLDER.name}; `make {FOLDER.name}/.ready` installs openai 2.8 into it")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_openai_policy.py"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(FOLDER), "RRO_TEST_OPENAI": "2.8.0"},
        capture_output=True,
        text=True,
        timeout=120.0,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
