"""Figures in the prose are those of the stored results."""

from __future__ import annotations

import json
import re

from tests.conftest import REPOSITORY

NAMES = {
    "rising rule": "rro",
    'rising rule, `on_first_rise="second"`': "rro, second",
    "fixed size, 5 candidates": "fixed",
    "MCTS": "mcts",
    "ETO, whole trajectories": "eto",
}


def test_the_table_of_why_is_that_of_the_benchmark() -> None:
    stored = json.loads((REPOSITORY / "benchmarks" / "results" / "methods.json").read_text())
    value = {metric["metric"]: metric["value"] for metric in stored["metrics"]}
    page = (REPOSITORY / "docs" / "why.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d\.\d\d) \|$", page, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(NAMES)
    for name, pairs, precision in rows:
        method = f"0 or 1: {NAMES[name]}"
        assert pairs == f"{value[f'{method}: pairs per 1,000 rollouts']:.0f}"
        assert precision == f"{value[f'{method}: pair precision']:.2f}"
