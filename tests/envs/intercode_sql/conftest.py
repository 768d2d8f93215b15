"""Two libraries of databases: a small invented one that every checkout can build, and the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rro_sdk.envs.intercode_sql import InterCodeSQL
from rro_sdk.envs.intercode_sql.library import EXPECTED_COUNTS, Library, build
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.types import Task

DUMP = (Path(__file__).parent / "bakery.sql").read_bytes()
COUNTS = (2, 4, 14)


@pytest.fixture(scope="session")
def bakery_library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The databases `bakery` and `kinds` of bakery.sql."""
    return build(DUMP, tmp_path_factory.mktemp("bakery") / "built", expect=COUNTS)


@pytest.fixture(scope="session")
def spider_library(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """InterCode's twenty databases, from the dump in the data folder."""
    dump = (data_folder / "sql" / "spider_dev_mysql.sql").read_bytes()
    return build(dump, tmp_path_factory.mktemp("spider") / "built", expect=EXPECTED_COUNTS)


@pytest.fixture
def runner(bakery_library: Library) -> Iterator[Runner]:
    with Runner(bakery_library) as runner:
        yield runner


@pytest.fixture
async def env(bakery_library: Library) -> AsyncIterator[InterCodeSQL]:
    async with InterCodeSQL(library=bakery_library) as env:
        yield env


@pytest.fixture
def task() -> Task:
    return Task(
        "bakery-1",
        "What are the names of the bakers in Lund, oldest first?",
        {"db": "bakery", "gold": "SELECT name FROM baker WHERE town = 'Lund' ORDER BY age DESC"},
    )
