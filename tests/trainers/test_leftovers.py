"""What a kill of parent and child together leaves, and who removes it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rro_sdk.errors import ConfigError, TrainingError
from trainers import SFTSettings, train_sft
from trainers.launching import CONFIGS, machine_of
from trainers.leftovers import forget_finished, hold_log, log_of
from trainers.resuming import mark, state_folder
from trainers.saving import MANIFEST

from .conftest import sft_rows, write_rows


@pytest.fixture
def settings(tiny: Path, tmp_path: Path) -> SFTSettings:
    return SFTSettings(
        data=write_rows(tmp_path / "sft.jsonl", sft_rows(2)), model=tiny, out=tmp_path / "o[u]t"
    )


def keep_state(out: Path) -> Path:
    state = state_folder(out) / "checkpoint-3"
    state.mkdir(parents=True)
    mark(state)
    return state


def test_hidden_folders_are_removed_once_the_log_is_held(
    settings: SFTSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.process.command", lambda *_: [sys.executable, "-c", ""])
    left, others = tmp_path / ".o[u]t.partial-dead", tmp_path / ".out.partial-else"
    for folder in (left / "checkpoint", others):
        folder.mkdir(parents=True)
    with hold_log(settings.out), pytest.raises(ConfigError, match="is being trained into"):
        train_sft(settings)
    assert left.exists(), "it may be the other's"
    with pytest.raises(TrainingError, match="ended with status 0"):
        train_sft(settings)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == [".out.partial-else", "o[u]t.log", "sft.jsonl"]


def test_machines_that_share_a_folder_have_a_log_each(settings: SFTSettings) -> None:
    for rank in (0, 1):
        copy = settings.data.with_name(f"machine-{rank}.yaml")
        copy.write_text((CONFIGS / "fsdp-nodes.yaml").read_text().replace("rank: 0", f"rank: {rank}"))
        assert machine_of(replace(settings, launch=str(copy))) == rank
    assert machine_of(settings) == machine_of(replace(settings, launch="cpu")) == 0
    with hold_log(settings.out), hold_log(settings.out, 1) as second:
        assert second.name == f"{log_of(settings.out)}.1"
        with pytest.raises(ConfigError, match="is being trained into"):
            hold_log(settings.out, 1)


def test_states_beside_a_whole_checkpoint_are_removed(settings: SFTSettings) -> None:
    settings.out.mkdir()
    state = keep_state(settings.out)
    (settings.out / "model.safetensors").write_text("")
    with pytest.raises(ConfigError, match="is not empty"):
        train_sft(settings)
    assert state.exists(), "no trainer made this checkpoint"
    (settings.out / MANIFEST).write_text("{}")
    with hold_log(settings.out) as log:
        log.write(b"what it said")
        log.flush()
        with pytest.raises(ConfigError, match="is being trained into"):
            forget_finished(settings.out)
    assert state.exists()
    with pytest.raises(ConfigError, match="is not empty"):
        train_sft(settings)
    assert not state_folder(settings.out).exists()
    assert settings.out.with_name("o[u]t.log").read_bytes() == b"what it said"
