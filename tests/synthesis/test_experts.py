"""Expert trajectories: played in the environment, worth 1, and readable by whoever trains on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rro_sdk.cli import main
from rro_sdk.envs.intercode_sql import InterCodeSQL, load_tasks
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.errors import DataError
from rro_sdk.prompts import react
from rro_sdk.synthesis import Turn, play, training_rows
from rro_sdk.synthesis.demonstrations import Script, demonstrate, outcome_of
from rro_sdk.synthesis.sql import Synthesis, SynthesisSettings, careless, read_synthetic, synthesize
from trainers.rows import read_rows


@pytest.fixture
async def env(library: Library) -> AsyncIterator[InterCodeSQL]:
    async with InterCodeSQL(library=library) as env:
        yield env


async def test_every_expert_scores_one_in_two_to_six_turns(env: InterCodeSQL, made: Synthesis) -> None:
    corrected = blind = 0
    for each in made.tasks:
        played = await play(env, each.task, each.expert)
        assert played.steps[-1].observation.outcome == 1.0
        assert 2 <= len(played.steps) <= 6
        assert played.steps[0].action.command == "SHOW TABLES"
        for step in played.steps:
            assert react.parse(step.action.text, "stop") == step.action
        if any(played.mistakes):
            corrected += 1
            blind += played.mistakes[1]
            episode = await env.start(each.task)
            place = played.mistakes.index(True)
            for step in played.steps[: place + 1]:
                await episode.step(step.action.command or "")
            raw = (await episode.step("submit")).raw
            assert raw is not None
            assert raw < 1.0
    assert corrected > 50
    assert blind > 5


async def test_who_sees_the_schema_does_not_look(library: Library) -> None:
    shown = synthesize(library, SynthesisSettings(n=60, show_schema=True, mistakes=0.5))
    async with InterCodeSQL(library=library, show_schema=True) as env:
        turns = {len((await play(env, each.task, each.expert)).steps) for each in shown.tasks}
    assert turns == {2, 3}


async def test_a_mistake_is_history_and_no_row(env: InterCodeSQL, made: Synthesis) -> None:
    each = next(each for each in made.tasks if any(turn.mistake for turn in each.expert))
    rows = training_rows(await play(env, each.task, each.expert))
    said = [row["completion"][0].content for row in rows]
    assert said == [turn.text for turn in each.expert if not turn.mistake]
    wrong = next(turn.text for turn in each.expert if turn.mistake)
    assert wrong in [message.content for message in rows[-1]["prompt"]]
    assert rows[0]["prompt"][0].role == "system"


async def test_an_expert_who_does_not_score_one_is_none(env: InterCodeSQL, made: Synthesis) -> None:
    task, submit = made.tasks[0].task, Turn("Done.", "submit")
    with pytest.raises(DataError, match="scores None"):
        await play(env, task, made.tasks[0].expert[:-1])
    with pytest.raises(DataError, match=r"scores 0\.0"):
        await play(env, task, [submit])
    with pytest.raises(DataError, match="takes 11 turns of 10"):
        await play(env, task, [submit] * 11)
    with pytest.raises(DataError, match="takes 0 turns"):
        await play(env, task, [])


async def test_careless_statements_take_rows_that_nobody_asked_for(
    library: Library, env: InterCodeSQL, made: Synthesis
) -> None:
    scripts = [Script(each.task, each.expert, careless(each.gold, each.expert)) for each in made.tasks]
    plain = [each for each in scripts if each.careless is None]
    assert 10 < len(plain) < len(scripts) - 50
    assert {" WHERE " in each.task.data["gold"] for each in plain} == {False}
    below, settings = 0, SynthesisSettings(careless=1.0)
    for script, played in zip(scripts, await demonstrate(env, scripts, settings), strict=True):
        said = [step.action.text for step in played.steps]
        if outcome_of(played) == 1.0:
            assert said == [turn.text for turn in script.expert]
            continue
        below += 1
        assert script.careless is not None
        assert said == [turn.text for turn in script.careless]
        assert not any(played.mistakes)
        for word in ("WHERE", "DISTINCT", "LIMIT"):
            assert f" {word} " not in f" {played.steps[-2].action.command} "
    assert below > 50


def test_a_statement_that_takes_every_row_has_nothing_to_leave_out() -> None:
    gold = "SELECT name FROM shelf ORDER BY name"
    expert = (Turn("I query shelf.", gold), Turn("Done.", "submit"))
    assert careless(gold, expert) is None
    gold = "SELECT DISTINCT name FROM shelf WHERE size > 3 ORDER BY name LIMIT 2"
    wrong = Turn("I query shelf.", "SELECT nam FROM shelf", mistake=True)
    expert = (
        wrong,
        Turn("I query shelf and keep the rows that are asked for.", gold),
        Turn("Done.", "submit"),
    )
    assert careless(gold, expert) == (
        Turn("I query shelf and sort them.", "SELECT name FROM shelf ORDER BY name"),
        Turn("Done.", "submit"),
    )


def run(*arguments: str) -> int:
    try:
        main(["data", "synth", "sql", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_command_writes_files_that_the_loaders_take(
    databases: Path, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    assert run("--sqlite", str(databases), "--n", "100", "--out", str(out), "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["tasks"], figures["duplicates"], figures["experts_at_1"]) == (100, 0, 100)
    manifest = json.loads((out / "manifest.json").read_text())
    for name, file in manifest["files"].items():
        held = (out / name).read_bytes()
        assert (held.count(b"\n"), hashlib.sha256(held).hexdigest()) == (file["lines"], file["sha256"])
    parts = {name: load_tasks(out / f"{name}.jsonl", library=library) for name in figures["splits"]}
    assert {name: len(found) for name, found in parts.items()} == figures["splits"]
    assert [each.task for each in read_synthetic(out / "train.jsonl")] == parts["train"]
    assert len(read_rows(out / "sft.jsonl", "sft")) > len(parts["train"]) * 3
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_the_bar_on_spider(spider_library: Library, tmp_path: Path) -> None:
    """What 5,000 tasks show, on fewer: `play` raises for an expert that does not score 1."""
    out = tmp_path / "made"
    assert run("--n", "150", "--out", str(out)) == 0
    tasks = read_synthetic(out / "tasks.jsonl")
    assert len({each.query.lower() for each in tasks}) == 150
    assert len(load_tasks(out / "tasks.jsonl", library=spider_library)) == 150


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n", "0"], "n must be at least 1"),
        (["--careless", "-0.5"], "careless must be in [0, 1], not -0.5"),
        (["--database", "attic"], "'attic'"),
        (["--fractions", "1", "1", "1"], "add up to 1"),
        (["--n", "1000", "--database", "coins"], "different questions"),
        (["--out", "taken"], "taken is not empty"),
        (["--sqlite", "taken"], "no *.sqlite"),
    ],
)
def test_bad_input_ends_with_2_and_leaves_nothing(
    databases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("keep")
    assert run("--sqlite", str(databases), "--n", "30", *arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine"]


def test_a_file_that_is_not_of_synthesised_tasks(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    for content, words in (
        (b'{"id": "\xff"}', "line 1: not UTF-8"),
        (b'{"x": ' + b"[" * 100_000, "nested too"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            read_synthetic(path)
    path.write_text('{"id": "a", "db": "shelf", "query": "?", "gold": "SELECT 1"}\n')
    with pytest.raises(DataError, match=r"line 1.*`hardness`.*rro data synth sql"):
        read_synthetic(path)
