"""Every command that reads a run reads a merged one, and says of it what it says of a single process's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.running import rro
from tests.cluster.crew import single
from tests.cluster.test_driver import World

COUNT = 12


class Both(NamedTuple):
    merged: Path
    alone: Path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("both")

    async def make() -> None:
        await single(folder / "alone" / "run", COUNT)
        await World(folder).drive(count=COUNT)

    asyncio.run(make())
    return Both(folder / "run", folder / "alone" / "run")


def said(*arguments: str) -> Any:
    done = rro(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(both: Both, *arguments: str) -> tuple[Any, Any]:
    """What a command says of the merged run and of the other, where RUN stands for it."""
    one, other = (said(*(str(run) if each == "RUN" else each for each in arguments)) for run in both)
    return one, other


@pytest.mark.parametrize("command", ["report", "cost"])
def test_figures_are_those_of_a_single_process(both: Both, command: str) -> None:
    merged, alone = told(both, command, "RUN")
    for found in (merged, alone):
        found.pop("wall_s", None)
        assert found["ledger"].pop("wall_s") > 0
    assert merged == alone
    assert merged["ledger"]["pairs"] > 0


def test_a_merged_run_is_whole(both: Both) -> None:
    merged, alone = told(both, "check", "RUN")
    assert merged == alone
    assert (merged["problems"], merged["owed"]) == ([], {})


def test_every_pair_is_explained_alike(both: Both) -> None:
    lines = (both.merged / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    for pair in [json.loads(line)["id"] for line in (lines[0], lines[-1])]:
        merged, alone = told(both, "explain", "RUN", pair)
        assert merged == alone
        assert merged["candidates"]


@pytest.mark.parametrize("form", ["trl", "sft"])
def test_exports_are_the_same_to_the_byte(both: Both, form: str) -> None:
    merged, alone = told(both, "export", "RUN", "--to", form)
    assert merged["rows"] > 0
    assert merged["files"] == alone["files"]  # by their SHA-256


def test_the_run_page_opens(both: Both, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    merged = said("view", str(both.merged), "--html", str(file))
    assert (merged["tasks"], merged["trajectories"]) == (COUNT, COUNT)
    assert file.stat().st_size == merged["bytes"]
