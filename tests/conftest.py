"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# What a script starts in the background ignores interrupts, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(what: str, remedy: str) -> NoReturn:
    """Skip a test for want of something; in CI, where `make test` brings all of it, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing; in CI it must be there")
    pytest.skip(f"{what} is missing; {remedy}")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared data folder: RRO_DATA, else ../shared/data beside the repository."""
    folder = Path(os.environ.get("RRO_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        missing(f"the data folder {folder}", "set RRO_DATA to run the tests against recorded data")
    return folder
