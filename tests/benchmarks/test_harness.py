"""What every benchmark's figures go through."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import _harness
from benchmarks._harness import Metric, at_least, at_most, below, finish, median_and_spread, ratios


@pytest.mark.parametrize(
    ("metric", "bar", "ok"),
    [
        (at_most("x", 0.35, "ms", 0.35), "<= 0.35", True),
        (at_most("x", 0.351, "ms", 0.35), "<= 0.35", False),
        (at_most("x", math.nan, "ms", 0.35), "<= 0.35", False),
        (at_least("x", 6.0, "", 6), ">= 6", True),
        (at_least("x", 5.9, "", 6), ">= 6", False),
        (at_least("x", math.nan, "", 6), ">= 6", False),
        (below("x", 0.3, "s", 0.3), "< 0.3", False),
        (below("x", 0.29, "s", 0.3), "< 0.3", True),
        (below("x", math.nan, "s", 0.3), "< 0.3", False),
    ],
)
def test_a_bar_is_held_to_the_letter_and_what_was_not_measured_misses_it(
    metric: Metric, bar: str, ok: bool
) -> None:
    assert (metric.bar, metric.ok) == (bar, ok)


def test_rounds_are_summed_up_by_median_and_extremes() -> None:
    assert median_and_spread([3.0, 1.0, 2.0]) == (2.0, (1.0, 3.0))
    assert ratios([6.0, 9.0], [2.0, 3.0]) == [3.0, 3.0]
    with pytest.raises(ValueError, match="no rounds"):
        median_and_spread([])
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_file_holds_figures_machine_and_versions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = [at_most("cost", 0.2, "ms", 0.35, spread=(0.1, 0.3)), Metric("rounds", 5)]
    code = finish(
        "toy", metrics, "all well", settings={"n": 1}, packages=("msgspec", "no-such-thing"), folder=tmp_path
    )
    assert code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["toy.json"]
    record = json.loads((tmp_path / "toy.json").read_bytes())
    assert record["ok"] is True
    assert record["metrics"][0] == {
        "metric": "cost",
        "value": 0.2,
        "unit": "ms",
        "bar": "<= 0.35",
        "ok": True,
        "spread": [0.1, 0.3],
        "note": "",
    }
    assert record["settings"] == {"n": 1}
    assert record["machine"]["cores"] >= 1 and record["machine"]["cpu"]
    assert record["versions"]["msgspec"] and record["versions"]["no-such-thing"] is None
    assert str(_harness.ROOT) not in (tmp_path / "toy.json").read_text()
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == "toy: all well"


def test_a_missed_bar_is_exit_code_1_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = [at_most("cost", 0.5, "ms", 0.35, note="the server was the bound"), at_least("gain", 9, "", 6)]
    assert finish("toy", metrics, "too dear", folder=tmp_path) == 1
    assert json.loads((tmp_path / "toy.json").read_bytes())["ok"] is False
    said = capsys.readouterr().out
    assert "missed: cost is 0.5, not <= 0.35: the server was the bound" in said
    assert "missed: gain" not in said


def test_two_metrics_of_one_name_are_a_mistake_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two metrics"):
        finish("toy", [Metric("a", 1), Metric("a", 2)], "", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_commit_is_none_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(_harness, "ROOT", tmp_path)
    assert _harness.commit() is None
