"""A run and two fake servers, made once for all pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.world import fake_servers, make_run


@dataclass(frozen=True)
class Known:
    """Attributes: `folder`, in which `runs/first` is a finished run; `pair`, the id of one of its pairs."""

    folder: Path
    pair: str


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    folder = tmp_path_factory.mktemp("known")
    return Known(folder, make_run(folder / "runs" / "first"))


@pytest.fixture(scope="session")
def urls() -> Iterator[list[str]]:
    with fake_servers(2) as found:
        yield found
