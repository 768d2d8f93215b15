"""Building: whole or not at all, once, and whoever comes first wins."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rro_sdk.envs.intercode_sql import library as module
from rro_sdk.envs.intercode_sql.library import EXPECTED_COUNTS, Library, build, open_library
from rro_sdk.errors import ConfigError, DataError
from tests.envs.intercode_sql.conftest import COUNTS, DUMP


def leftovers(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_makes_a_read_only_file_a_database(tmp_path: Path) -> None:
    library = build(DUMP, tmp_path / "built", expect=COUNTS)
    assert leftovers(tmp_path) == ["built"]
    assert leftovers(tmp_path / "built") == ["bakery.sqlite", "catalog.json", "kinds.sqlite"]
    for database in library.catalog.databases:
        assert not library.path(database).stat().st_mode & stat.S_IWUSR


@pytest.mark.parametrize(
    ("dump", "expect", "sha256", "words"),
    [
        (DUMP, (2, 4, 15), None, "14 rows, not 2, 4 and 15"),
        (DUMP, COUNTS, "0" * 64, "not InterCode's"),
        (b"USE `d`; \xff", COUNTS, None, "not UTF-8 at byte 9"),
        (b"INSERT INTO `t` VALUES (1);", COUNTS, None, "before any USE"),
    ],
)
def test_a_wrong_dump_leaves_nothing(
    tmp_path: Path, dump: bytes, expect: tuple[int, int, int], sha256: str | None, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        build(dump, tmp_path / "built", expect=expect, sha256=sha256)
    assert leftovers(tmp_path) == []


def test_concurrent_builders_all_get_the_same_whole_library(tmp_path: Path) -> None:
    folder = tmp_path / "built"
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: build(DUMP, folder, expect=COUNTS), range(8)))
    assert {each.catalog.counts for each in built} == {COUNTS}
    assert leftovers(tmp_path) == ["built"]


def test_a_damaged_library_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPECTED_COUNTS", COUNTS)
    monkeypatch.setattr(module, "DUMP_SHA256", module.hashlib.sha256(DUMP).hexdigest())
    monkeypatch.setattr(module, "dump_bytes", lambda root: DUMP)
    first = open_library(tmp_path)
    first.path(first.catalog.databases[0]).unlink()
    again = open_library(tmp_path)
    assert again.path(again.catalog.databases[0]).is_file()
    (again.folder / "catalog.json").write_text("{")
    assert open_library(tmp_path).catalog.counts == COUNTS


def test_a_second_opening_does_not_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPECTED_COUNTS", COUNTS)
    monkeypatch.setattr(module, "DUMP_SHA256", module.hashlib.sha256(DUMP).hexdigest())
    monkeypatch.setattr(module, "dump_bytes", lambda root: DUMP)
    open_library(tmp_path)
    monkeypatch.setattr(module, "dump_bytes", lambda root: pytest.fail("built twice"))
    assert open_library(tmp_path).catalog.counts == COUNTS


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="cannot write the databases"):
        build(DUMP, tmp_path / "deep" / "built", expect=COUNTS)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("")
    with pytest.raises(ConfigError, match="cannot write the databases"):
        build(DUMP, tmp_path / "deep" / "built", expect=COUNTS)


def test_the_real_dump_has_the_counts_that_must_arrive(spider_library: Library) -> None:
    assert spider_library.catalog.counts == EXPECTED_COUNTS == (20, 81, 6952)
    assert spider_library.catalog.source_sha256 == module.DUMP_SHA256
