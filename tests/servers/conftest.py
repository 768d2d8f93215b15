"""A checkpoint folder without weights, and an interpreter that plays SGLang's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

STUB = Path(__file__).with_name("stub_launcher.py")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"dtype": "float32"}')
    (folder / "model.safetensors").touch()
    return folder


@pytest.fixture
def stub_python(tmp_path: Path) -> Callable[[str], Path]:
    """Makes the interpreter of a mode of stub_launcher.py."""

    def make(mode: str) -> Path:
        script = tmp_path / f"python-{mode}"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STUB}" {mode} "{tmp_path}" "$@"\n')
        script.chmod(0o755)
        return script

    return make
