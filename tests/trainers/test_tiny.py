"""The tiny policy: its tokenizer and template, rows as episodes, and a very small one, really trained."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.checkpoint import describe
from rro_sdk.cli import main
from rro_sdk.errors import ConfigError, DataError, TrainingError
from trainers.rows import Row, parse_rows, read_rows
from trainers.tiny import Progress, TinySettings, train_tiny
from trainers.tiny_model import layout, make
from trainers.tiny_text import Conversation, conversations, encode, make_tokenizer

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


def rows_of(lines: list[dict[str, Any]]) -> tuple[Row, ...]:
    return parse_rows("".join(json.dumps(line) + "\n" for line in lines).encode(), "rows", "sft")


@pytest.fixture(scope="module")
def episodes() -> list[Conversation]:
    return conversations(rows_of(episode_rows(12)))


@pytest.fixture(scope="module")
def tokenizer(episodes: list[Conversation]) -> Any:
    return make_tokenizer(episodes, 400)


def as_messages(episode: Conversation) -> list[dict[str, str]]:
    return [message(role, text) for role, text in episode.messages]


def test_the_rows_of_an_episode_become_one(episodes: list[Conversation]) -> None:
    assert len(episodes) == 12
    assert [len(each.messages) for each in episodes] == [7] * 12
    assert episodes[1].trained == {2, 4, 6}
    assert episodes[0].trained == {2, 6}


@given(st.permutations(list(range(8))))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_rows_loses_none(order: list[int]) -> None:
    rows = rows_of(episode_rows(3))
    found = conversations([rows[i] for i in order])
    assert sum(len(each.trained) for each in found) == 8
    assert {each.messages for each in found} == {each.messages for each in conversations(rows)}


def test_a_repeated_episode_counts_twice() -> None:
    rows = rows_of(episode_rows(2))
    assert len(conversations([*rows, *rows])) == 4


def test_the_data_is_what_the_chat_template_writes(episodes: list[Conversation], tokenizer: Any) -> None:
    for each in episodes:
        ids, trained = encode(each, tokenizer)
        said = as_messages(each)
        whole = tokenizer.apply_chat_template(said, return_dict=True, return_assistant_tokens_mask=True)
        assert whole["input_ids"] == ids
        if len(each.trained) == 3:  # without a mistake the loss is on all that the template marks
            assert [bool(mark) for mark in whole["assistant_masks"]] == trained
        for place in (2, 4, 6):
            prompt = tokenizer.apply_chat_template(
                said[:place], add_generation_prompt=True, return_dict=True
            )["input_ids"]
            assert ids[: len(prompt)] == prompt
            assert trained[len(prompt)] == (place in each.trained)


def test_the_system_message_costs_nothing(episodes: list[Conversation], tokenizer: Any) -> None:
    said = as_messages(episodes[0])
    with_it, without = (tokenizer.apply_chat_template(each, tokenize=False) for each in (said, said[1:]))
    assert with_it == without


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
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress], Any]:
    folder = tmp_path_factory.mktemp("tiny")
    seen: list[Progress] = []
    chosen = TinySettings(
        data=write_rows(folder / "sft.jsonl", episode_rows(24)),
        out=folder / "model",
        parameters=0.1,
        vocabulary=400,
        epochs=30,
        batch_size=8,
        warmup=5,
        lr=1e-2,
        threads=1,
    )
    return folder, seen, make(chosen, seen.append)


def test_a_very_small_one_learns_and_generates(trained: tuple[Path, list[Progress], Any]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, seen, made = trained
    assert made.steps == 90
    assert made.final_loss < made.first_loss / 4
    assert [each.step for each in seen] == [20, 40, 60, 80, 90]
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


def test_it_is_a_checkpoint_that_the_sdk_serves_and_trains(
    trained: tuple[Path, list[Progress], Any], tmp_path: Path
) -> None:
    from trainers.loading import load_model, load_tokenizer

    folder, _, made = trained
    assert sorted(path.name for path in folder.iterdir()) == ["model", "sft.jsonl"]
    found = describe(folder / "model")
    assert found.sha256
    assert load_tokenizer(folder / "model").chat_template
    assert load_model(folder / "model").config.architectures == ["LlamaForCausalLM"]
    manifest = json.loads((folder / "model" / "rro_checkpoint.json").read_text())
    assert manifest["method"] == "tiny"
    assert manifest["result"]["parameters"] == made.parameters


def test_data_that_cannot_be_trained_on(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(2))
    with pytest.raises(DataError, match="over max_length 16"):
        make(TinySettings(data=data, out=tmp_path / "out", max_length=16, vocabulary=300), print)
    (tmp_path / "torn.jsonl").write_bytes(data.read_bytes()[:-9])
    with pytest.raises(DataError, match="not valid JSON"):
        train_tiny(TinySettings(data=tmp_path / "torn.jsonl", out=tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft.jsonl", "torn.jsonl"]


def test_a_trainer_that_hangs_is_ended(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(2))
    chosen = TinySettings(data=data, out=tmp_path / "out", parameters=0.1, vocabulary=300, epochs=1000)
    with pytest.raises(TrainingError, match=r"said nothing for 0\.01 s"):
        train_tiny(chosen, silence_limit_s=0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["sft.jsonl"]


def test_it_can_be_stopped_from_another_thread(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(8))
    chosen = TinySettings(
        data=data, out=tmp_path / "out", parameters=0.1, vocabulary=300, epochs=1000, threads=1
    )
    stop = threading.Event()
    with pytest.raises(TrainingError, match="out was not made: it was stopped"):
        train_tiny(chosen, on_progress=lambda progress: stop.set(), stop=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["sft.jsonl"]


def test_what_a_kill_of_all_left_is_removed_and_nobody_elses_work(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(2))
    for name in ("out.tiny-dead", "out.tiny-busy", "out2.tiny-dead"):
        (tmp_path / f".{name}").mkdir()
        (tmp_path / f".{name}" / "lock").touch()
    (tmp_path / ".out.tiny-new").mkdir()
    with (tmp_path / ".out.tiny-busy" / "lock").open("ab") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        make(TinySettings(data=data, out=tmp_path / "out", vocabulary=300, parameters=0.1, epochs=0), print)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".out.tiny-busy", ".out.tiny-new", ".out2.tiny-dead", "out", "sft.jsonl",
    ]  # fmt: skip


def test_a_killed_parent_leaves_no_child_and_no_folder(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(8))
    code = (
        "from trainers.tiny import *; import sys\n"
        f"train_tiny(TinySettings(data={str(data)!r}, out={str(tmp_path / 'out')!r}, parameters=0.1,"
        " vocabulary=300, epochs=1000, threads=1), on_progress=lambda p: print(p, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert b"Progress" in parent.stdout.readline()
        assert len(list(tmp_path.glob(".out.tiny-*/lock"))) == 1
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while list(tmp_path.glob(".out.tiny-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["sft.jsonl"]


def test_it_ends_with_its_parent_also_where_interrupts_are_ignored(tmp_path: Path) -> None:
    """As for whatever a shell without job control starts in the background."""
    data = write_rows(tmp_path / "sft.jsonl", episode_rows(8))
    settings: dict[str, object] = {"data": str(data), "out": str(tmp_path / "out"), "parameters": 0.1}
    settings |= {"vocabulary": 300, "epochs": 1000, "threads": 1}
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "trainers.tiny_model", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    finally:
        signal.signal(signal.SIGINT, ignored)
    try:
        assert child.stdout is not None and b"step" in child.stdout.readline()
        child.communicate(timeout=60)  # closes its standard input
    finally:
        child.kill()
    assert child.returncode == 130
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
    assert made["episodes"] == 32
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
        (["--data", "rows.jsonl", "--parameters", "400"], "parameters is 400.0: it must be from 0.05 to 15"),
        (["--data", "rows.jsonl", "--out", "taken"], "taken is not empty"),
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


def test_a_taken_folder_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="is not a folder"):
        train_tiny(TinySettings(data=tmp_path / "none", out=tmp_path / "out"))
