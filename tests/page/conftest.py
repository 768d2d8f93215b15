"""Two small runs that every test of the page reads, sampled once from a fake server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rro_sdk.journal import Journal
from rro_sdk.methods.rising import RisingReward
from rro_sdk.page.source import Runs
from rro_sdk.report.text import summary_of, write_summary
from rro_sdk.sampler import Sampler
from servers.fake import FakeServer, FakeSettings
from tests.page.world import Library, reply, tasks


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of two runs of the same tasks; the second stops after two candidates and lacks a task."""
    folder = tmp_path_factory.mktemp("runs")

    async def sample() -> None:
        settings = FakeSettings(reply=reply, model_path="library-small")
        async with FakeServer(settings) as one, FakeServer(settings) as other:
            for name, most, count in (("rising", 5, 9), ("short", 2, 8)):
                method = RisingReward(rollouts=3, max_candidates=most)
                async with Sampler(
                    Library(), servers=[one.url, other.url], method=method, run_dir=folder / name, seed=most
                ) as sampler:
                    async for _ in sampler.events(tasks(count)):
                        pass
                with Journal.open(folder / name) as journal:
                    write_summary(summary_of(journal), folder / name)

    asyncio.run(sample())
    return folder / "rising", folder / "short"


@pytest.fixture(scope="session")
def run(two_runs: tuple[Path, Path]) -> Path:
    return two_runs[0]


@pytest.fixture
def runs(run: Path) -> Iterator[Runs]:
    with Runs([run]) as opened:
        yield opened
