"""The notebook among the examples runs from top to bottom, and is stored without what it printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, missing

NOTEBOOK = REPOSITORY / "examples" / "tour.ipynb"
RUNNER = REPOSITORY / ".venv-integrations"

RUN = """
import json, sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
print(json.dumps(["".join(str(output) for output in cell.get("outputs", ())) for cell in notebook.cells]))
"""


def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    if not RUNNER.is_dir():
        missing(RUNNER.name, f"`make {RUNNER.name}/.ready` installs nbclient into it")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(NOTEBOOK)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (RUNNER, REPOSITORY))),
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "JUPYTER_PLATFORM_DIRS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    printed = "".join(json.loads(done.stdout.splitlines()[-1]))
    assert "journal.sqlite" in printed and "candidates per step" in printed
    assert "chosen: " in printed and "pairs put the truly better action first" in printed


def test_it_is_stored_without_what_it_printed() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
