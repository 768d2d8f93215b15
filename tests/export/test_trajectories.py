"""Pairs of whole trajectories: written down, read back, refused where a project takes one action a side."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.errors import DataError
from rro_sdk.export import FORMATS, export_run, write_pairs
from rro_sdk.export.base import Sample, action_side
from rro_sdk.export.drift import check
from rro_sdk.export.sft import Turn, trajectories, turns
from rro_sdk.export.source import read_source
from rro_sdk.export.template import load_template
from rro_sdk.types import Message, PreferencePair
from tests.cli.test_cli import one_clear_error, rro

from .conftest import CHATML, MakeTokenizer

PROMPT = (Message("system", "Play."), Message("user", "begin"))
REST = (Message("user", "left"), Message("assistant", "Action: end 1"))


def pair(number: int = 0, *, rest: tuple[Message, ...] = REST) -> PreferencePair:
    return PreferencePair(
        id=f"t/1.{number}",
        task_id="t",
        step=1,
        prompt=PROMPT,
        chosen="Action: go left",
        rejected=f"Action: end 0.{number}",
        chosen_reward=1.0,
        rejected_reward=0.1 * number,
        weight_version="v0",
        chosen_rest=rest,
    )


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "trajectories.jsonl"
    assert write_pairs([pair(1), pair(0), pair(2, rest=())], path) == 3
    return path


def written(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def test_pairs_are_read_back_as_they_were_whatever_their_order(pairs_file: Path, tmp_path: Path) -> None:
    assert read_source(pairs_file).pairs == (pair(0), pair(1), pair(2, rest=()))
    write_pairs([pair(2, rest=()), pair(1), pair(0)], tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == pairs_file.read_bytes()


@pytest.mark.parametrize(
    ("side", "says"),
    [
        ([], "must begin with an action"),
        ([("user", "left")], "must begin with an action"),
        ([("assistant", "a"), ("user", "left")], "observations"),
        ([("assistant", "a"), ("assistant", "b"), ("assistant", "c")], "observations"),
        ([("assistant", "a"), ("user", "left"), ("assistant", " ")], "has a blank action"),
    ],
)
def test_a_side_is_actions_with_observations_between_them(
    pairs_file: Path, side: list[tuple[str, str]], says: str
) -> None:
    row = json.loads(pairs_file.read_text().splitlines()[0])
    row["chosen"] = [{"role": role, "content": content} for role, content in side]
    pairs_file.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=f"line 1: chosen .*{says}"):
        read_source(pairs_file)


@pytest.mark.parametrize("name", [name for name, found in FORMATS.items() if name not in ("stepwise", "sft")])
def test_every_format_writes_them_or_says_why_not(
    pairs_file: Path, chatml: Path, tmp_path: Path, name: str
) -> None:
    out, found = tmp_path / "out", FORMATS[name]
    if found.trajectories == "refused":
        with pytest.raises(DataError, match=f"2 of 3 rows .* {name} takes one action a side"):
            export_run(pairs_file, name, out, tokenizer=chatml)
        report = export_run(pairs_file, name, out, tokenizer=chatml, allow_drop=True)
        assert [row.id for row in report.left_out] == ["t/1.0", "t/1.1"]
        return
    report = export_run(pairs_file, name, out, tokenizer=chatml)
    warned = [note for note in report.notes if "train on the observations" in note]
    assert len(warned) == (found.trajectories == "unmasked")
    assert report.left_out == ()
    assert report.drift is not None
    assert report.drift.found == ()


def test_what_is_written(pairs_file: Path, chatml: Path, tmp_path: Path) -> None:
    for name in ("trl", "trl-text", "kto", "reward", "sharegpt", "jsonl"):
        export_run(pairs_file, name, tmp_path / name, tokenizer=chatml)
    side = [{"role": m.role, "content": m.content} for m in action_side("Action: go left", REST)]
    assert written(tmp_path / "trl")[0]["chosen"] == side
    assert written(tmp_path / "trl-text")[0]["chosen"] == (
        "Action: go left<|im_end|>\n<|im_start|>user\nleft<|im_end|>\n"
        "<|im_start|>assistant\nAction: end 1<|im_end|>"
    )
    assert written(tmp_path / "kto")[0]["completion"] == side
    assert written(tmp_path / "reward")[0]["chosen"][2:] == side
    assert written(tmp_path / "jsonl")[0]["chosen_rest"] == side[1:]
    lasts = [row["conversations"][-1]["value"] for row in written(tmp_path / "sharegpt")]
    assert lasts == ["Action: go left", "Action: end 1"] * 2 + ["Action: go left"], "an action a row"


def test_a_template_that_rewrites_the_turns_of_a_side_drifts(make_tokenizer: MakeTokenizer) -> None:
    """The prompt's tokens begin the whole; what the second action answered does not."""
    numbered = CHATML.replace(
        "message['content']", "(message['content'] if loop.last or loop.index < 3 else '...')"
    )
    found = check(
        [Sample("x", PROMPT, {"chosen": action_side("Action: go left", REST)})],
        load_template(make_tokenizer(numbered)),
    ).found
    assert [(drift.side, drift.kind) for drift in found] == [("chosen", "prefix")]


def test_sft_rows_are_the_turns_of_trajectories_that_reach_the_outcome(run: Path, tmp_path: Path) -> None:
    source = read_source(run)
    report = export_run(run, "sft", tmp_path / "sft")
    rows = written(tmp_path / "sft")
    assert report.rows == len(rows) > 0
    wholes = [whole for whole in trajectories(source) if whole.outcome == 1.0]
    assert {row["outcome"] for row in rows} == {1.0}
    assert {row["task_id"] for row in rows} == {whole.task_id for whole in wholes}
    assert len({json.dumps([row["prompt"], row["completion"]]) for row in rows}) == len(rows)
    for whole in wholes:
        assert whole.turns[-1].content.endswith("end 1"), "the toy world pays for this action alone"
        assert len(whole.opening) == 2
    assert max(row["turn"] for row in rows) > 1
    later = next(row for row in rows if row["turn"] == 2)
    assert [said["role"] for said in later["prompt"]] == ["system", "user", "assistant", "user"]
    assert len(list(turns(source, 0.0))) > len(rows), "failed trajectories count as well"


def test_sft_refuses_what_it_cannot_know(run: Path, pairs_file: Path, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    one_clear_error(rro("export", str(run), "--to", "trl", "--min-outcome", "0.5", *out), "--min-outcome")
    one_clear_error(rro("export", str(run), "--to", "sft", "--min-outcome", "2", *out), "outcomes lie in")
    one_clear_error(rro("export", str(pairs_file), "--to", "sft", *out), "needs the run's folder")
    assert not (tmp_path / "out").exists()


def test_a_turn_that_cannot_be_trained_on_is_left_out_alone(run: Path) -> None:
    source = read_source(run)
    every = [turn.id for turn in turns(source, 1.0)]
    left = source.without({every[0]})
    assert [turn.id for turn in turns(left, 1.0)] == every[1:]
    assert left == dataclasses.replace(source, left_out=frozenset({every[0]}))


def test_a_turn_that_was_left_out_does_not_come_back_by_a_trajectory_that_shares_it(run: Path) -> None:
    source = read_source(run)
    shared = Counter(
        (turn.prompt, turn.action)
        for whole in trajectories(source)
        for turn in (Turn(whole, 1 + place // 2) for place in range(0, len(whole.turns), 2))
    )
    every = list(turns(source, 0.0))
    left = next(turn for turn in every if shared[turn.prompt, turn.action] > 1)
    kept = [(turn.prompt, turn.action) for turn in turns(source.without({left.id}), 0.0)]
    assert kept == [(turn.prompt, turn.action) for turn in every if turn is not left]
