"""`rro env check webshop`: references that agree, that do not, and that are no references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rro_sdk.cli import main
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.envs.webshop.goals import Goal, synthetic_goals
from rro_sdk.envs.webshop.sources import load, shop_files


class References:
    """Files that agree with the small shop."""

    def __init__(self, folder: Path) -> None:
        files = shop_files(folder)
        assert files is not None
        loaded = load(files)
        self.folder = folder
        self.catalogue = Catalogue(loaded.products)
        self.goals = synthetic_goals(loaded.products, loaded.annotations, loaded.rng)

    def rewards(self, **fields: Any) -> str:
        options = {"color": "black", "size": "12 oz"}
        goal = next(goal for goal in self.goals if goal.goal_options == options)
        row = {
            "goal_idx": goal.goal_idx,
            "asin": "B000000001",
            "options": options,
            "price": 12.5,
            "reward": 1.0,
            "info": {"r_type": 1.0, "w_price": 0.2},
            **fields,
        }
        return self._write("rewards.jsonl", [row])

    def searches(self, **fields: Any) -> str:
        found = [asin for asin, _ in self.catalogue.scored("camping mug")]
        return self._write("searches.jsonl", [{"query": "camping mug", "asins": found, **fields}])

    async def episodes(self, change: dict[str, Any] | None = None) -> str:
        goal = self.goals[0]
        episode = await WebShop(catalogue=self.catalogue).start(goal.task(0))
        steps: list[dict[str, Any]] = [{"obs": episode.opening}]
        for action in ("search[mug]", "click[b000000001]", "click[buy now]"):
            seen = await episode.step(action)
            steps.append(
                {
                    "action": action,
                    "obs": seen.text,
                    "clickables": None if seen.done else episode.clickables,
                    "reward": seen.outcome or 0.0,
                    "done": seen.done,
                }
            )
        steps[2] |= change or {}
        return self._write("episodes.jsonl", [{"goal_idx": goal.goal_idx, "steps": steps}])

    def write_goals(self) -> str:
        return self._write("goals.jsonl", [msgspec.to_builtins(goal) for goal in self.goals])

    def _write(self, name: str, rows: list[Any]) -> str:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)


@pytest.fixture
def references(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> References:
    monkeypatch.setenv("RRO_DATA", str(shop_folder))
    return References(shop_folder)


def run(references: References, *arguments: str) -> int:
    try:
        main(["env", "check", "webshop", "-e", f"products={references.folder}", *arguments])
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


async def paths(references: References) -> list[str]:
    references.write_goals()
    return [
        *("--rewards", references.rewards()),
        *("--searches", references.searches()),
        *("--episodes", await references.episodes()),
    ]


async def test_what_agrees(references: References, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = await paths(references)
    # The command has an event loop of its own.
    assert await in_thread(references, *arguments) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "webshop: rewards 100.00 % (1/1), search top-1 100.00 % (1/1), first page 100.00 % (1/1),"
        " all hits 100.00 % (1/1), episodes 100.00 % (1/1), steps 100.00 % (3/3)"
    )
    assert await in_thread(references, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["disagreements"] == [] and found["shares"][0]["bar"] == 1.0


async def in_thread(references: References, *arguments: str) -> int:
    import asyncio

    return await asyncio.to_thread(run, references, *arguments)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("rewards", {"reward": 0.5}, "reward 1.0, recorded 0.5"),
        ("rewards", {"info": {"r_type": 0.5}}, "r_type 1.0, recorded 0.5"),
        ("searches", {"asins": ["B000000003", "B000000001"]}, "differ from rank 1"),
    ],
)
def test_what_does_not_agree(
    references: References, capsys: pytest.CaptureFixture[str], kind: str, fields: Any, words: str
) -> None:
    references.write_goals()
    path = getattr(references, kind)(**fields)
    assert run(references, f"--{kind}", path) == 1
    out = capsys.readouterr().out
    assert words in out and f"{path}, line 1" in out and "MISSED" in out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"obs": "another page"}, "step 2: the page has"),
        ({"clickables": []}, "step 2: other things"),
        ({"reward": 0.4}, "step 2: reward 0.0"),
        ({"done": True}, "step 2: reward 0.0"),
    ],
)
async def test_an_episode_that_does_not_agree(
    references: References, capsys: pytest.CaptureFixture[str], change: Any, words: str
) -> None:
    references.write_goals()
    assert await in_thread(references, "--episodes", await references.episodes(change)) == 1
    assert words in capsys.readouterr().out


async def test_goals_come_from_rows_or_instructions_where_no_file_has_them(references: References) -> None:
    episodes = await references.episodes()
    assert await in_thread(references, "--episodes", episodes) == 0
    goal = next(each for each in references.goals if "black" in each.instruction_text)
    path = references.rewards(goal_idx=None, goal=msgspec.to_builtins(goal))
    assert await in_thread(references, "--rewards", path) == 0


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("rewards", {"goal_idx": 99}, ["line 1", "field `goal_idx`", "--goals"]),
        ("rewards", {"asin": "B0"}, ["line 1", "field `asin`", "'B0'"]),
        ("rewards", {"options": ["x"]}, ["line 1", "options"]),
        ("searches", {"asins": None}, ["line 1", "asins"]),
        ("searches", {"query": " ".join(map(str, range(3_000)))}, ["line 1", "field `query`"]),
    ],
)
def test_what_is_no_reference(
    references: References, capsys: pytest.CaptureFixture[str], kind: str, fields: Any, words: list[str]
) -> None:
    references.write_goals()
    assert run(references, f"--{kind}", getattr(references, kind)(**fields)) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message


def test_files_that_are_empty_or_missing(references: References, capsys: pytest.CaptureFixture[str]) -> None:
    empty = references.folder / "empty.jsonl"
    empty.write_text("\n")
    assert run(references, "--rewards", str(empty)) == 2
    assert run(references, "--searches", str(references.folder / "none.jsonl")) == 2
    assert run(references, "--goals", str(empty), "--rewards", references.rewards(asin=3)) == 2
    said = capsys.readouterr().err
    assert "holds no rows" in said and "cannot read" in said and "asin" in said


def test_an_episode_needs_actions(references: References, capsys: pytest.CaptureFixture[str]) -> None:
    path = references.folder / "e.jsonl"
    path.write_text('{"goal_idx": 0, "steps": [{"obs": "x"}, {"obs": "y"}]}\n')
    assert run(references, "--episodes", str(path)) == 2
    assert "e.jsonl, line 1" in capsys.readouterr().err


def test_an_absent_goal_product(references: References, capsys: pytest.CaptureFixture[str]) -> None:
    stray = msgspec.to_builtins(Goal("B0", "x", ("a",), {}, "q", "c", "n"))
    assert run(references, "--rewards", references.rewards(goal=stray)) == 2
    assert "the goal's field `asin`" in capsys.readouterr().err
