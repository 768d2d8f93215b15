"""A run and two fake servers, made once for all pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from rro_sdk.testing import ServerInThread, tree_reply
from servers.fake import FakeSettings
from tests.docs.world import TREES, make_run


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
    """Servers that make moves in trees."""
    with ExitStack() as stack:
        settings = FakeSettings(reply=tree_reply(TREES))
        yield [stack.enter_context(ServerInThread(settings)).url for _ in range(2)]
