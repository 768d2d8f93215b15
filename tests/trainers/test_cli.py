"""`rro train` as a user runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from rro_sdk.checkpoint import describe
from rro_sdk.cli import main
from trainers.resuming import mark

from .conftest import pair_rows, sft_rows, write_rows


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def rro(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*arguments: object) -> Ended:
        code = 0
        try:
            main(["train", *map(str, arguments)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capsys.readouterr())

    return run


def test_sft_shows_progress_and_prints_the_result_as_json(
    rro: Callable[..., Ended], tiny: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "sft.jsonl", sft_rows(4))
    ended = rro(
        "sft", "--data", data, "--model", tiny, "--out", tmp_path / "out",
        "--steps", 2, "--threads", 1, "--device", "cpu", "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["steps"] == 2
    assert "step 2/2 loss" in ended.stderr
    assert "4 of 4 rows" in ended.stderr
    assert describe(tmp_path / "out").sha256 == result["weights_sha256"]
    assert (tmp_path / "out.log").exists()


def test_dpo_says_what_it_left_out_and_how_many_rows_drift(
    rro: Callable[..., Ended], tiny: Path, tmp_path: Path
) -> None:
    rows = pair_rows(3)
    rows[2]["prompt"][1]["content"] = "x" * 300
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    template = (other / "chat_template.jinja").read_text()
    (other / "chat_template.jinja").write_text(template.replace("+ '\n' + message", "+ ': ' + message"))
    options = ["--pairs", data, "--model", tiny, "--out", tmp_path / "out", "--max-length", 200]
    options += ["--sampled-with", other]
    ended = rro("dpo", *options, "--threads", 1, "--device", "cpu", "--allow-drop")
    assert ended.returncode == 0, ended.stderr
    assert "warning: 3 of 3 rows were made by another tokenizer or chat template" in ended.stderr
    assert "2 of 3 rows in 2 sequences, 1 left out: line 3:" in ended.stderr
    assert "step 1/1 loss 0.69" in ended.stderr
    assert "margin" in ended.stderr
    assert str(tmp_path / "out") in ended.stdout


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("kto", ["--batch-size", 1], "batch_size is 1: kto estimates its KL term within a batch"),
        ("dpo", ["--reference", "nowhere"], "nowhere is not a folder"),
        ("dpo", ["--beta", 0], "beta is 0.0"),
        (
            "reward",
            ["--launch", "fsdb"],
            "launch is 'fsdb': give a file that accelerate config wrote, or one of",
        ),
        ("reward", ["--processes", 2], "processes is given and launch is not"),
        ("sft", ["--save-every", 0], "save_every is 0"),
        ("sft", [], "line 1 has no completion"),
    ],
)
def test_options_that_cannot_be_right(
    rro: Callable[..., Ended], tiny: Path, tmp_path: Path, method: str, options: list[object], says: str
) -> None:
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(3))
    source = "--pairs" if method in ("dpo", "reward") else "--data"
    ended = rro(method, source, data, "--model", tiny, "--out", tmp_path / "out", *options)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [data]


def test_a_reference_that_reads_other_tokens(rro: Callable[..., Ended], tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "vocab_size": 7}))
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(3))
    ended = rro("dpo", "--pairs", data, "--model", tiny, "--out", tmp_path / "out", "--reference", other)
    assert ended.returncode == 2
    assert "has a vocabulary of 7" in ended.stderr


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("equal", "line 2: chosen and rejected are the same text: there is nothing to prefer"),
        ("interrupted", "holds an interrupted training: go on with --resume, or remove it"),
        ("torn", "line 3 is not valid JSON: it was cut off"),
        ("empty", "is empty"),
        ("no model", "is not a folder"),
        ("taken", "is not empty"),
        ("setting", "batch_size is 0: it must be a whole number from 1"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    rro: Callable[..., Ended], tiny: Path, tmp_path: Path, case: str, says: str
) -> None:
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(3))
    out, model, extra = tmp_path / "out", tiny, []
    if case == "equal":
        rows = pair_rows(3)
        write_rows(data, [rows[0], {**rows[1], "rejected": rows[1]["chosen"]}, rows[2]])
    elif case == "interrupted":
        (tmp_path / "out.state" / "checkpoint-3").mkdir(parents=True)
        mark(tmp_path / "out.state" / "checkpoint-3")
    elif case == "torn":
        data.write_bytes(data.read_bytes()[:-30])
    elif case == "empty":
        data.write_bytes(b"")
    elif case == "no model":
        model = tmp_path / "none"
    elif case == "taken":
        out = tiny
    else:
        extra = ["--batch-size", 0]
    before = sorted(tmp_path.iterdir())
    ended = rro("dpo", "--pairs", data, "--model", model, "--out", out, *extra)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before
