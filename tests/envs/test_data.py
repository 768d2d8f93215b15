"""Where the data folder is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rro_sdk.envs import _data
from rro_sdk.envs._data import data_folder
from rro_sdk.errors import ConfigError


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRO_DATA", str(tmp_path))
    assert data_folder() == tmp_path


def test_a_variable_that_names_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRO_DATA", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="RRO_DATA"):
        data_folder()


def test_then_beside_the_current_directory_then_beside_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RRO_DATA", raising=False)
    here = tmp_path / "here" / "work"
    checkout = tmp_path / "there" / "checkout"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setattr(_data, "__file__", str(checkout / "rro_sdk" / "envs" / "_data.py"))
    assert data_folder() is None
    (checkout.parent / "shared" / "data").mkdir(parents=True)
    assert data_folder() == checkout.parent / "shared" / "data"
    (here.parent / "shared" / "data").mkdir(parents=True)
    assert data_folder() == here.parent / "shared" / "data"
