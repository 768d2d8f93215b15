"""The tiny policy: its tokenizer and chat template, and a very small one, really trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.checkpoint import describe
from rro_sdk.cli import main
from rro_sdk.errors import ConfigError, DataError, TrainingError
from trainers import Event, Step
from trainers.fitting import fit, fold_continuations
from trainers.loading import encode_rows
from trainers.rows import Row, parse_rows, read_rows
from trainers.tiny import Made, TinySettings, make_tiny
from trainers.tiny_start import layout, make_tokenizer

from .conftest import message, write_rows

DESC = "Observation: [('Name', 'text', 'YES', '', None, ''), ('Age', 'int', 'YES', '', None, '')]"


def episode_rows(count: int) -> list[dict[str, Any]]:
    """Episodes of three turns, a row a turn; in every third the second turn is a mistake and no row."""
    rows = []
    for number in range(count):
        said = [
            message("system", "You answer questions."),
            message("user", f"How many dogs are older than {number}?"),
            message("assistant", "Thought: I look.\nAction: DESC dog"),
            message("user", DESC),
            message("assistant", f"Thought: I count.\nAction: SELECT COUNT(*) FROM dog WHERE Age > {number}"),
            message("user", f"Observation: [({number},)]"),
            message("assistant", "Thought: That is it.\nAction: submit"),
        ]
        places = (2, 4, 6) if number % 3 else (2, 6)
        rows += [{"prompt": said[:place], "completion": [said[place]]} for place in places]
    return rows


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    lines = "".join(json.dumps(line) + "\n" for line in episode_rows(12))
    return parse_rows(lines.encode(), "rows", "sft")


@pytest.fixture(scope="module")
def tokenizer(rows: tuple[Row, ...]) -> Any:
    return make_tokenizer(rows, 400)


def test_the_turns_of_an_episode_train_as_one_sequence(
    rows: tuple[Row, ...], tokenizer: Any, tmp_path: Path
) -> None:
    """No drift: a prompt's tokens begin those of prompt and reply, so that the turns fold into one."""
    chosen = TinySettings(data=tmp_path / "rows", out=tmp_path / "out").sft(tmp_path)
    kept, left_out = fit(encode_rows(rows, tokenizer, chosen), 2048, "sft", allow_drop=False, name="rows")
    assert left_out == ()
    folded = fold_continuations(kept)
    assert [each.rows for each in folded] == [2, 3, 3] * 4
    marked = tokenizer.apply_chat_template(
        [*rows[4].prompt, {"role": "assistant", "content": rows[4].sides[0]}],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    assert marked["input_ids"] == list(folded[1].ids)
    assert [bool(mark) for mark in marked["assistant_masks"]] == list(folded[1].trained)
    assert folded[1].ids[-1] == tokenizer.eos_token_id


def test_the_system_message_costs_nothing(tokenizer: Any) -> None:
    said = [*episode_rows(1)[0]["prompt"]]
    with_it, without = (tokenizer.apply_chat_template(each, tokenize=False) for each in (said, said[1:]))
    assert with_it == without == "<|user|>How many dogs are older than 0?"


@given(st.text())
@settings(deadline=None, max_examples=60)
def test_the_tokenizer_gives_any_text_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_digits_stay_single_and_a_described_column_is_one_token(tokenizer: Any) -> None:
    pieces = tokenizer.tokenize("Age > 4071")
    assert pieces[-4:] == ["4", "0", "7", "1"]
    assert any("YES" in piece and "None" in piece for piece in tokenizer.tokenize(DESC))


@pytest.mark.parametrize("millions", [0.1, 0.5, 1, 2.5, 5, 10, 15])
def test_a_layout_has_about_as_many_parameters_as_asked_for(millions: float) -> None:
    shape = layout(millions, 2048)
    assert shape.parameters(2048) == pytest.approx(millions * 1e6, rel=0.25)
    assert shape.width == 32 * shape.heads


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event], Made]:
    folder = tmp_path_factory.mktemp("tiny")
    seen: list[Event] = []
    chosen = TinySettings(
        data=write_rows(folder / "sft.jsonl", episode_rows(24)),
        out=folder / "model",
        parameters=0.1,
        vocabulary=400,
        epochs=20,
        batch_size=8,
        warmup=5,
        lr=1e-2,
        threads=1,
    )
    return folder, seen, make_tiny(chosen, on_event=seen.append)


def test_a_very_small_one_learns_and_generates(trained: tuple[Path, list[Event], Made]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, seen, made = trained
    assert made.training.steps == 60
    assert made.training.sequences == 24
    assert made.training.final_loss < made.training.first_loss / 4
    assert sum(isinstance(event, Step) for event in seen) == 60
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "model")
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder / "model", output_loading_info=True)
    model, info = loaded
    assert not info["missing_keys"]
    assert sum(each.numel() for each in model.parameters()) == made.parameters
    prompt = tokenizer.apply_chat_template(
        episode_rows(1)[0]["prompt"], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reply = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(reply, skip_special_tokens=True) == "Thought: I look.\nAction: DESC dog"
    assert reply[-1] == tokenizer.eos_token_id
    text = "Wörter, 407 > 4.0\nAction: 'x'"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_nothing_but_the_checkpoint_and_its_log_is_left(trained: tuple[Path, list[Event], Made]) -> None:
    folder, _, made = trained
    assert sorted(path.name for path in folder.iterdir()) == ["model", "model.log", "sft.jsonl"]
    assert describe(folder / "model").sha256 == made.training.weights_sha256


def test_data_that_cannot_be_trained_on(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(2))
    (tmp_path / "torn.jsonl").write_bytes(data.read_bytes()[:-9])
    with pytest.raises(DataError, match="not valid JSON"):
        make_tiny(TinySettings(data=tmp_path / "torn.jsonl", out=tmp_path / "out"))
    with pytest.raises(ConfigError, match="cannot read"):
        make_tiny(TinySettings(data=tmp_path / "none.jsonl", out=tmp_path / "out"))
    with pytest.raises(ConfigError, match="exists already"):
        make_tiny(TinySettings(data=data, out=data))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft.jsonl", "torn.jsonl"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parameters": 400}, "parameters is 400"),
        ({"parameters": float("nan")}, "parameters is nan"),
        ({"vocabulary": 100}, "vocabulary is 100"),
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": 0.0}, r"lr is 0\.0"),
    ],
)
def test_settings_that_cannot_be_right(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TinySettings(data=tmp_path / "sft.jsonl", out=tmp_path / "out", **fields)


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(2))
    monkeypatch.setattr("trainers.tiny.START_LIMIT_S", 0.01)
    with pytest.raises(TrainingError, match=r"not written within 0\.01 s"):
        make_tiny(TinySettings(data=data, out=tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["sft.jsonl"]


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def rro(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    def run(*arguments: object) -> Ended:
        code = 0
        try:
            main(["model", "make", "tiny", *map(str, arguments)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ended(code, *capsys.readouterr())

    return run


def test_the_command_plays_the_experts_of_the_training_tasks(
    rro: Callable[..., Ended], tmp_path: Path, data_folder: Path
) -> None:
    pytest.importorskip("sqlglot", reason="needs the [envs] extra")
    main(["data", "synth", "sql", "--n", "40", "--database", "pets_1", "--out", str(tmp_path / "tasks")])
    ended = rro(
        "--tasks", tmp_path / "tasks" / "tasks.jsonl", "--out", tmp_path / "tiny",
        "--parameters", 0.1, "--vocabulary", 400, "--epochs", 1, "--threads", 1, "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout.splitlines()[-1])
    assert made["training"]["sequences"] == 32
    assert "step 2/2 loss" in ended.stderr
    assert describe(tmp_path / "tiny").sha256
    kept = (tmp_path / "tasks" / "sft.jsonl").read_bytes()
    assert (tmp_path / "tiny.sft.jsonl").read_bytes() == kept
    assert len(read_rows(tmp_path / "tiny.sft.jsonl", "sft")) > 96


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "either --tasks or --data"),
        (["--data", "none.jsonl"], "cannot read none.jsonl"),
        (["--tasks", "none.jsonl"], "cannot read the tasks file none.jsonl"),
        (["--tasks", "empty.jsonl"], "holds no tasks"),
        (
            ["--data", "rows.jsonl", "--parameters", "400"],
            "parameters is 400.0: it must be from 0.05 to 15 million",
        ),
        (["--data", "rows.jsonl", "--out", "taken"], "not an empty folder"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    rro: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", episode_rows(2))
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("keep")
    before = sorted(tmp_path.rglob("*"))
    ended = rro(*arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
