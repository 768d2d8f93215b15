"""Real trainings of a tiny model, each in its own process: what they leave, and what a kill leaves."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rro_sdk.checkpoint import content_hash, describe, differences
from rro_sdk.errors import CheckpointError, ConfigError, DataError, TrainingError
from trainers import DPOSettings, Event, Rows, SFTSettings, Stage, Step, TrainResult, train_dpo, train_sft
from trainers.process import train
from trainers.resuming import begin_or_go_on
from trainers.room import bytes_needed
from trainers.rows import file_sha256
from trainers.saving import MANIFEST, METRICS

from .conftest import TrainHere, message, pair_rows, sft_rows, write_rows

DEADLINE_S = 120.0
SERVED_FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    MANIFEST,
    METRICS,
}


def sft_settings(folder: Path, tiny: Path, **changes: Any) -> SFTSettings:
    data = write_rows(folder / "sft.jsonl", sft_rows(8))
    fields: dict[str, Any] = {
        "data": data,
        "model": tiny,
        "out": folder / "out",
        "steps": 20,
        "batch_size": 4,
        "lr": 5e-3,
        "threads": 1,
        "device": "cpu",
    }
    return SFTSettings(**{**fields, **changes})


def children(of: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(of).children() if "trainers.sft" in " ".join(child.cmdline())]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("sft.jsonl", "out.log"))


@pytest.fixture(scope="module")
def sft_run(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, list[Event], SFTSettings]:
    settings = sft_settings(tmp_path_factory.mktemp("sft"), tiny)
    events: list[Event] = []
    return train_sft(settings, on_event=events.append), events, settings


def test_sft_learns(sft_run: tuple[TrainResult, list[Event], SFTSettings]) -> None:
    result, events, _ = sft_run
    assert result.final_loss < 0.5 * result.first_loss
    assert result.steps == 20
    assert (result.rows_total, result.rows_used, result.rows_left_out) == (8, 8, ())
    assert result.peak_rss_mb > 50
    assert result.rows_per_second > 0
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(1, 21))
    assert [e.name for e in events if isinstance(e, Stage)] == ["check", "load", "prepare", "train", "save"]
    assert [e for e in events if isinstance(e, Rows)] == [Rows(8, 8, (), 8)]


def test_the_checkpoint_is_what_a_server_loads(
    tiny: Path, sft_run: tuple[TrainResult, list[Event], SFTSettings]
) -> None:
    result, _, settings = sft_run
    out = settings.out
    assert {path.name for path in out.iterdir()} == SERVED_FILES
    assert all(path.stat().st_mode & 0o044 for path in out.iterdir()), "a server may run as another user"
    assert differences(describe(tiny), describe(out)) == []
    assert (out / "generation_config.json").read_bytes() == (tiny / "generation_config.json").read_bytes()
    assert leftovers(out.parent) == ["out"]
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["base_model"]["weights_sha256"] == content_hash(tiny)
    assert manifest["result"]["weights_sha256"] == result.weights_sha256 == content_hash(out)
    assert manifest["data"]["rows_used"] == 8
    assert manifest["settings"]["lr"] == 5e-3
    assert manifest["packages"]["trl"]


def _margin(model_path: Path, rows: list[dict[str, Any]]) -> float:
    """Mean log-probability of chosen over rejected, by transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(model_path)

    def log_probability(row: dict[str, Any], side: str) -> float:
        def encode(messages: list[dict[str, str]], generate: bool) -> list[int]:
            ids: list[int] = tokenizer.apply_chat_template(
                messages, add_generation_prompt=generate, return_dict=True
            )["input_ids"]
            return ids

        start = len(encode(row["prompt"], True))
        ids = torch.tensor([encode(row["prompt"] + row[side], False)])
        with torch.inference_mode():
            log_probs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        return float(log_probs.gather(1, ids[0, 1:, None])[start - 1 :].sum())

    return sum(log_probability(row, "chosen") - log_probability(row, "rejected") for row in rows) / len(rows)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_dpo_raises_the_margin_in_the_saved_weights(tiny: Path, tmp_path: Path, lora: bool) -> None:
    rows = pair_rows(4)
    result = train_dpo(
        DPOSettings(
            data=write_rows(tmp_path / "pairs.jsonl", rows),
            model=tiny,
            out=tmp_path / "new" / "dpo",
            steps=6,
            batch_size=4,
            lr=2e-2 if lora else 2e-3,
            lora=lora,
            threads=1,
            device="cpu",
        )
    )
    assert result.first_metrics["rewards/margins"] == pytest.approx(0.0, abs=0.02), "policy is the reference"
    assert result.metrics["rewards/margins"] > 0.1
    assert result.final_loss < result.first_loss
    out = tmp_path / "new" / "dpo"
    assert differences(describe(tiny), describe(out)) == [], "an adapter is merged before it is saved"
    assert _margin(out, rows) > _margin(tiny, rows) + 1.0


def test_rows_that_do_not_fit_are_refused_or_counted(
    tiny: Path, tmp_path: Path, train_here: TrainHere
) -> None:
    settings = sft_settings(tmp_path, tiny, steps=None, max_length=200)
    rows = sft_rows(3)
    rows[1]["prompt"][1]["content"] = "x" * 400
    write_rows(settings.data, rows)
    with pytest.raises(DataError, match=r"1 of 3 rows do not fit: line 2: .* over max_length 200"):
        train_sft(settings)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "out.log").exists(), "nothing was trained, so there is nothing to look up"

    blank = {**rows[0], "completion": [{"role": "assistant", "content": "\n"}]}
    write_rows(settings.data, [*rows, blank])
    with pytest.raises(DataError, match="line 4: completion is blank; leave it out, as --allow-drop does"):
        train_sft(settings)
    assert leftovers(tmp_path) == []

    result = train_here(dataclasses.replace(settings, allow_drop=True))
    assert (result.rows_total, result.rows_used) == (4, 2)
    assert [item.line for item in result.rows_left_out] == [2, 4]


def test_the_turns_of_an_episode_are_trained_in_one_sequence(
    tiny: Path, tmp_path: Path, train_here: TrainHere
) -> None:
    history: list[dict[str, str]] = []
    rows = []
    for turn in range(3):
        prompt = [*history, message("user", f"turn {turn}")]
        action = message("assistant", f"Action: {turn}")
        rows.append({"prompt": prompt, "completion": [action]})
        history = [*prompt, action]
    settings = sft_settings(tmp_path, tiny, steps=None)
    write_rows(settings.data, rows)
    folded = train_here(settings)
    plain = train_here(dataclasses.replace(settings, out=tmp_path / "plain", share_prefixes=False))
    assert (folded.rows_used, folded.sequences, plain.rows_used, plain.sequences) == (3, 1, 3, 3)
    assert folded.first_loss == pytest.approx(plain.first_loss, rel=0.01), (
        "the same tokens in the same contexts"
    )


def test_a_template_that_rewrites_the_prompt_is_noticed(
    tiny: Path, tmp_path: Path, train_here: TrainHere
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    template = (tiny / "chat_template.jinja").read_text()
    changed = template.replace("message['content']", "(message['content'] if loop.last else '...')")
    (model / "chat_template.jinja").write_text(changed)
    with pytest.raises(DataError, match="line 1: the chat template writes the prompt differently"):
        train_here(sft_settings(tmp_path, model))
    (model / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="no chat template"):
        train_here(sft_settings(tmp_path, model))
    assert not (tmp_path / "out").exists()


def test_bad_input_is_refused_before_a_process_starts(tiny: Path, tmp_path: Path) -> None:
    settings = sft_settings(tmp_path, tiny)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        train_sft(settings)
    with pytest.raises(ConfigError, match="is not a folder"):
        train_sft(sft_settings(tmp_path, tiny, out=tmp_path / "sft.jsonl"))
    with pytest.raises(CheckpointError, match="not a folder"):
        train_sft(sft_settings(tmp_path, tmp_path / "none", out=tmp_path / "a"))
    with pytest.raises(DataError, match="line 1 has no chosen"):
        train_dpo(DPOSettings(data=settings.data, model=tiny, out=tmp_path / "a"))
    with pytest.raises(ConfigError, match="cannot read"):
        train_dpo(DPOSettings(data=tmp_path / "none", model=tiny, out=tmp_path / "a"))
    assert leftovers(tmp_path) == ["out"]
    assert (tmp_path / "out" / "file").read_text() == "mine"


def test_a_loss_that_is_no_number_ends_the_run(tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], float("nan"))
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="the loss is nan at step 1") as caught:
        train_sft(sft_settings(tmp_path, model))
    assert caught.value.exit_code == 1
    assert leftovers(tmp_path) == ["model"]


def test_a_trainer_killed_as_it_begins_to_write_leaves_no_checkpoint(tiny: Path, tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if event == Stage("save"):
            for child in children(os.getpid()):
                child.kill()

    with pytest.raises(TrainingError, match="ended by SIGKILL") as caught:
        train_sft(sft_settings(tmp_path, tiny, steps=2), on_event=kill)
    assert str(tmp_path / "out.log") in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(("save_every", "when"), [(3, 4), (5, "save")])
def test_a_killed_training_goes_on_and_ends_in_the_very_same_weights(
    tiny: Path,
    tmp_path: Path,
    sft_run: tuple[TrainResult, list[Event], SFTSettings],
    save_every: int,
    when: int | str,
) -> None:
    unbroken, _, _ = sft_run
    settings = sft_settings(tmp_path, tiny, save_every=save_every)

    def kill(event: Event) -> None:
        if when in (getattr(event, "step", None), getattr(event, "name", None)):
            for child in children(os.getpid()):
                child.kill()

    with pytest.raises(TrainingError, match="ended by SIGKILL"):
        train_sft(settings, on_event=kill)
    assert leftovers(tmp_path) == ["out.state"]
    with pytest.raises(ConfigError, match=r"out\.state holds an interrupted training: go on with --resume"):
        train_sft(settings)
    with pytest.raises(ConfigError, match=r"of another training \(settings\.lr was 0\.005 and is 0\.001\)"):
        begin_or_go_on(dataclasses.replace(settings, resume=True, lr=1e-3), file_sha256(settings.data))
    torn = tmp_path / "out.state" / "checkpoint-19"
    torn.mkdir()  # as a kill while a state is written leaves it

    events: list[Event] = []
    result = train_sft(dataclasses.replace(settings, resume=True), on_event=events.append)
    assert result.resumed_from in range(save_every, 20, save_every)
    steps = [event.step for event in events if isinstance(event, Step)]
    assert steps == list(range(result.resumed_from + 1, 21)), "what was done is not done again"
    assert result.weights_sha256 == unbroken.weights_sha256
    assert (result.first_loss, result.final_loss) == (unbroken.first_loss, unbroken.final_loss)
    metrics = [(folder / METRICS).read_text() for folder in (settings.out, Path(unbroken.path))]
    losses = [[json.loads(line)["loss"] for line in text.splitlines()] for text in metrics]
    assert losses[0] == losses[1]
    assert leftovers(tmp_path) == ["out"]


def test_a_folder_that_is_being_trained_into_is_in_use(tiny: Path, tmp_path: Path) -> None:
    settings = sft_settings(tmp_path, tiny)
    with (tmp_path / "out.log").open("ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(ConfigError, match="is being trained into by another process"):
            train_sft(settings)
    assert leftovers(tmp_path) == []


def test_a_full_disk_is_noticed_before_anything_is_trained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = sft_settings(tmp_path, tiny, out=tmp_path / "new" / "out")
    model = describe(tiny, with_hash=False)
    whole = bytes_needed(settings, model)
    states = bytes_needed(dataclasses.replace(settings, save_every=5), model) - whole
    adapters = (
        bytes_needed(dataclasses.replace(settings, save_every=5, lora=True, lora_rank=1), model) - whole
    )
    assert states == 3 * 12 * model.parameters > adapters > 0
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=whole - 1))
    with pytest.raises(ConfigError, match=r"MB free and the training needs about .* MB"):
        train_sft(settings)
    assert not (tmp_path / "new").exists()


def test_it_can_be_stopped_from_another_thread(tiny: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def at_first_step(event: Event) -> None:
        if isinstance(event, Step):
            stop.set()

    with pytest.raises(TrainingError, match="was stopped"):
        train_sft(sft_settings(tmp_path, tiny, steps=100_000), on_event=at_first_step, stop=stop)
    assert leftovers(tmp_path) == []
    assert children(os.getpid()) == []


def test_a_silent_trainer_is_ended(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"said nothing for 0\.01 s"):
        train(sft_settings(tmp_path, tiny), silence_limit_s=0.01)
    assert leftovers(tmp_path) == []
    assert children(os.getpid()) == []


PARENT = """
import signal, sys
from pathlib import Path
from trainers import SFTSettings, Step, train_sft
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
data, model, out = map(Path, sys.argv[1:])
def show(event):
    if isinstance(event, Step):
        print("step", flush=True)
train_sft(SFTSettings(data=data, model=model, out=out, steps=100_000, threads=1, device="cpu"), on_event=show)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_trainer_outlives_its_parent(tiny: Path, tmp_path: Path, number: signal.Signals) -> None:
    data = write_rows(tmp_path / "sft.jsonl", sft_rows(4))
    command = [sys.executable, "-c", PARENT, str(data), str(tiny), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"step\n"
        (child,) = children(parent.pid)
        parent.send_signal(number)
        parent.wait(timeout=DEADLINE_S)
    wait_for(lambda: not child.is_running(), "the trainer ends")
    wait_for(lambda: leftovers(tmp_path) == [], "its hidden folder is gone")
