"""Which states of an interrupted training count, and whose they are."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rro_sdk.checkpoint import describe
from rro_sdk.errors import ConfigError
from tests.checkpoints import write_checkpoint
from trainers import DPOSettings
from trainers.process import train_dpo
from trainers.resuming import (
    begin_or_go_on,
    forget_torn,
    last_state,
    mark,
    refuse_foreign,
    refuse_unfinished,
    state_folder,
)
from trainers.room import bytes_needed


@pytest.fixture
def settings(tmp_path: Path) -> DPOSettings:
    model = tmp_path / "model"
    write_checkpoint(model)
    return DPOSettings(data=tmp_path / "pairs.jsonl", model=model, out=tmp_path / "out", save_every=5)


def save(folder: Path, step: int, *, whole: bool = True) -> Path:
    state = folder / f"checkpoint-{step}"
    state.mkdir(parents=True)
    if whole:
        mark(state)
    return state


def test_the_last_whole_state_counts(settings: DPOSettings) -> None:
    assert begin_or_go_on(settings, "data") is None
    folder = state_folder(settings.out)
    save(folder, 5)
    tenth = save(folder, 10)
    save(folder, 15, whole=False)
    (folder / "checkpoint-other").mkdir()
    assert begin_or_go_on(settings, "data") == tenth == last_state(folder)


def test_going_on_leaves_no_torn_state_to_be_kept_in_a_whole_ones_place(settings: DPOSettings) -> None:
    begin_or_go_on(settings, "data")
    folder = state_folder(settings.out)
    tenth = save(folder, 10)
    save(folder, 20, whole=False)
    assert begin_or_go_on(replace(settings, resume=True, save_every=4), "data") == tenth
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-10", "training.json"]


def test_a_folder_that_no_training_made_stays(settings: DPOSettings) -> None:
    folder = state_folder(settings.out)
    refuse_foreign(settings)
    folder.mkdir()
    refuse_foreign(settings)  # a kill may have left it so
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"out\.state would hold states, and holds something else"):
        train_dpo(settings)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_states_of_an_earlier_version_go_on(settings: DPOSettings) -> None:
    begin_or_go_on(settings, "data")
    path = state_folder(settings.out) / "training.json"
    before = json.loads(path.read_text())
    del before["tokenizer"]
    path.write_text(json.dumps(before))
    tenth = save(state_folder(settings.out), 10)
    assert begin_or_go_on(settings, "data") == tenth


def test_a_folder_of_states_that_was_being_removed_is_ours(settings: DPOSettings) -> None:
    folder = state_folder(settings.out)
    save(folder, 10, whole=False)
    (folder / "README.md").write_text("of the trainer")
    refuse_foreign(settings)
    forget_torn(settings)
    assert not folder.exists()


def test_another_chat_template_is_another_training(settings: DPOSettings) -> None:
    begin_or_go_on(settings, "data")
    (settings.model / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(ConfigError, match=r"of another training \(tokenizer was"):
        begin_or_go_on(settings, "data")


def test_states_of_another_training_are_refused(settings: DPOSettings) -> None:
    begin_or_go_on(settings, "data")
    with pytest.raises(ConfigError, match=r"of another training \(data_sha256 was 'data' and is 'other'\)"):
        begin_or_go_on(settings, "other")
    shutil.rmtree(settings.model)
    write_checkpoint(settings.model, fill=1)
    with pytest.raises(ConfigError, match="of another training"):
        begin_or_go_on(settings, "data")
    (state_folder(settings.out) / "training.json").write_text("{")
    with pytest.raises(ConfigError, match=r"training\.json cannot be read"):
        begin_or_go_on(settings, "data")


def test_a_training_of_another_number_of_processes_is_another(
    settings: DPOSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_or_go_on(settings, "data")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"of another training \(processes was 1 and is 2\)"):
        begin_or_go_on(settings, "data")


def test_room_is_asked_for_states_that_are_not_there_yet(settings: DPOSettings) -> None:
    model = describe(settings.model)
    fresh = bytes_needed(settings, model)
    state = fresh - bytes_needed(replace(settings, save_every=None), model)
    for step in (5, 10):
        save(state_folder(settings.out), step)
    save(state_folder(settings.out), 15, whole=False)
    assert bytes_needed(settings, model) == fresh - state * 2 // 3


def test_what_never_had_a_whole_state_is_forgotten(settings: DPOSettings) -> None:
    folder = state_folder(settings.out)
    begin_or_go_on(settings, "data")
    save(folder, 5, whole=False)
    refuse_unfinished(settings)
    forget_torn(settings)
    assert not folder.exists()
    save(folder, 5)
    forget_torn(settings)
    assert folder.exists()
    with pytest.raises(ConfigError, match="holds an interrupted training"):
        refuse_unfinished(settings)
