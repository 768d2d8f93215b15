"""docs/results.md says what was stored, and nothing was typed in between."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks._harness import RESULTS
from benchmarks.tables import PAGE, main, written

METRIC = {
    "metric": "speed",
    "value": 1234.5,
    "unit": "1/s",
    "bar": ">= 2000",
    "ok": False,
    "note": "too slow",
}


def test_the_page_says_what_was_stored() -> None:
    assert main(["--check"]) == 0


def test_every_stored_result_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert [
        each.stem for each in sorted(RESULTS.glob("*.json")) if f"table: {each.stem} -->" not in text
    ] == []


def test_a_table_follows_its_result_and_names_what_was_missed(tmp_path: Path) -> None:
    page = "Before.\n<!-- table: speed -->\nold\n<!-- end -->\nAfter.\n"
    (tmp_path / "speed.json").write_bytes(msgspec.json.encode({"metrics": [METRIC]}))
    found = written(page, tmp_path)
    assert found.startswith("Before.\n<!-- table: speed -->\n") and found.endswith("<!-- end -->\nAfter.\n")
    assert "| speed | 1,234 1/s |  | >= 2000 | **missed** |" in found
    assert "- speed: too slow" in found
    assert "old" not in found
    assert written(found, tmp_path) == found
    better = {**METRIC, "value": 2000.0, "ok": True}
    (tmp_path / "speed.json").write_bytes(msgspec.json.encode({"metrics": [better]}))
    assert "| speed | 2,000 1/s |  | >= 2000 | met |" in written(found, tmp_path)


def test_a_table_without_a_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        written("<!-- table: none -->\n<!-- end -->\n", tmp_path)
