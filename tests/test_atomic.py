"""What a finished folder may be renamed to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rro_sdk.atomic import refuse_taken
from rro_sdk.errors import ConfigError


def test_nothing_or_an_empty_folder_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("none", "none/below", "empty"):
        refuse_taken(tmp_path / name)


def test_all_else_is_refused_before_hours_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    for name, says in (
        ("file", "is not a folder"),
        ("full", "is not empty"),
        ("link", "is a link or a mount point"),
        ("loose", "is a link or a mount point"),
    ):
        with pytest.raises(ConfigError, match=says):
            refuse_taken(tmp_path / name)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "empty")
    with pytest.raises(ConfigError, match="is a link or a mount point"):
        refuse_taken(tmp_path / "empty")
