"""The examples that need no server run as they stand."""

from __future__ import annotations

import runpy
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.docs.conftest import Known


def run(example: str, *arguments: str) -> None:
    path = str(REPOSITORY / "examples" / example)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [path, *arguments])
        runpy.run_path(path, run_name="__main__")


def test_own_environment(capsys: pytest.CaptureFixture[str]) -> None:
    run("own_environment.py")
    assert " pairs; first: lock-" in capsys.readouterr().out


def test_another_trainer(known: Known, capsys: pytest.CaptureFixture[str]) -> None:
    run("another_trainer.py", str(known.folder / "runs" / "first"))
    assert capsys.readouterr().out.startswith("batch 1: 4 pairs")
