"""Wheels: from the cache, through a real pip without network, and what is said when neither works."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from rro_sdk import _wheels
from rro_sdk._wheels import cache_folder, digest_of, fetch_wheel, read_member
from rro_sdk.errors import ConfigError, DataError

NAME = "rro-sdk-test-bun"
FILE = "rro_sdk_test_bun-1.0-py3-none-any.whl"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index, with one wheel in it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    info = "rro_sdk_test_bun-1.0.dist-info"
    with zipfile.ZipFile(folder / FILE, "w") as archive:
        archive.writestr("bun/data.txt", "currants")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: rro-sdk-test-bun\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_downloads_once_and_then_takes_it_from_the_cache(shop: Path, tmp_path: Path) -> None:
    sha256 = digest_of(shop / FILE)
    wheel = fetch_wheel(NAME, "1.0", sha256, tmp_path / "cache")
    assert wheel == tmp_path / "cache" / "wheels" / FILE
    assert read_member(wheel, "bun/data.txt") == b"currants"
    (shop / FILE).unlink()
    assert fetch_wheel(NAME, "1.0", sha256, tmp_path / "cache") == wheel
    assert [each.name for each in wheel.parent.iterdir()] == [FILE]


def test_a_wheel_put_there_by_hand_is_taken(shop: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "cache" / "wheels"
    shelf.mkdir(parents=True)
    (shop / FILE).rename(shelf / FILE)
    assert fetch_wheel(NAME, "1.0", digest_of(shelf / FILE), tmp_path / "cache") == shelf / FILE


def test_another_file_is_refused_and_not_kept(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not 0000"):
        fetch_wheel(NAME, "1.0", "0" * 64, tmp_path / "cache")
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced(shop: Path, tmp_path: Path) -> None:
    sha256 = digest_of(shop / FILE)
    wheel = fetch_wheel(NAME, "1.0", sha256, tmp_path / "cache")
    wheel.write_bytes(b"torn")
    assert digest_of(fetch_wheel(NAME, "1.0", sha256, tmp_path / "cache")) == sha256


def test_offline_says_how_to_provide_it(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"rro-sdk-test-bun==2\.0.*pip download --no-deps.*wheels"
    ) as caught:
        fetch_wheel(NAME, "2.0", "0" * 64, tmp_path / "cache")
    assert caught.value.exit_code == 2
    assert list((tmp_path / "cache" / "wheels").iterdir()) == []


def test_a_download_has_a_time_limit(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wheels, "DOWNLOAD_LIMIT_S", 0.001)
    with pytest.raises(ConfigError, match=r"within 0\.001 s"):
        fetch_wheel(NAME, "1.0", "0" * 64, tmp_path / "cache")


def test_no_pip_is_said(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wheels.sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ConfigError, match="could not be started"):
        fetch_wheel(NAME, "1.0", "0" * 64, tmp_path / "cache")


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ConfigError, match="cannot make the cache folder"):
        fetch_wheel(NAME, "1.0", "0" * 64, tmp_path / "cache")


def test_a_missing_member_is_named(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not hold nothing\.txt"):
        read_member(shop / FILE, "nothing.txt")
    (tmp_path / "x.whl").write_bytes(b"no zip")
    with pytest.raises(DataError):
        read_member(tmp_path / "x.whl", "nothing.txt")


def test_the_cache_folder_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "rro-sdk"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "rro-sdk"
