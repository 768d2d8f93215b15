"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared data folder: RRO_DATA, else ../shared/data beside the repository."""
    folder = Path(os.environ.get("RRO_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the data folder {folder} is missing; in CI it must be there")
        pytest.skip("no data folder; set RRO_DATA to run the tests against recorded data")
    return folder
