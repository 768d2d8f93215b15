"""`rro push` against a hub on loopback: what arrives, what never leaves, and what is said of refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rro_sdk.errors import CheckpointError, ConfigError, DataError
from rro_sdk.hub import model_card
from rro_sdk.hub.push import contents_of
from tests.hub.standin import TOKEN, StandIn

CARD = "---\npretty_name: x\n---\n\n# x\n"

MANIFEST = {
    "method": "dpo",
    "base_model": {"path": "/home/somebody/models/base", "weights_sha256": "b0"},
    "data": {"path": "/home/somebody/runs/first/pairs.jsonl", "sha256": "d0", "rows": 5, "rows_used": 4},
    "settings": {"model": "/home/somebody/models/base", "out": "/home/somebody/out", "beta": 0.1, "lr": 5e-6},
    "packages": {"torch": "2"},
    "result": {"steps": 4, "first_loss": 0.7, "final_loss": 0.4, "weights_sha256": "c0"},
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with StandIn() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # the stand-in speaks LFS
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield hub


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "pairs.jsonl").write_text('{"chosen": "a"}\n')
    (folder / ".secret").write_text("never")
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "dpo"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "llama", "_name_or_path": "/home/somebody/base"})
    )
    (folder / "model.safetensors").write_bytes(os.urandom(4096))
    (folder / "rro_checkpoint.json").write_text(json.dumps(MANIFEST))
    return folder


def rro(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its settings when it is imported."""
    return subprocess.run(
        [sys.executable, "-c", "from rro_sdk.cli import main; main()", *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_dataset_with_its_card(hub: StandIn, dataset: Path) -> None:
    done = rro("push", str(dataset), "me/pairs", "--json")
    assert done.returncode == 0, done.stderr
    assert hub.repos == {
        "datasets/me/pairs": {
            "README.md": CARD.encode(),
            "pairs.jsonl": (dataset / "pairs.jsonl").read_bytes(),
        }
    }
    assert hub.private == {"datasets/me/pairs"}
    pushed = json.loads(done.stdout)
    assert (pushed["kind"], pushed["commit"], pushed["url"]) == (
        "dataset",
        "abc",
        f"{hub.url}/datasets/me/pairs",
    )
    assert TOKEN not in done.stdout + done.stderr


def test_a_model_gets_a_card_and_no_path_of_this_machine_leaves(hub: StandIn, checkpoint: Path) -> None:
    done = rro("push", str(checkpoint), "me/policy", "--public")
    assert done.returncode == 0, done.stderr
    files = hub.repos["models/me/policy"]
    assert files.keys() == {"README.md", "config.json", "model.safetensors"} and not hub.private
    assert files["model.safetensors"] == (checkpoint / "model.safetensors").read_bytes()
    assert "`d0`" in files["README.md"].decode() and "library_name" in files["README.md"].decode()
    for name, content in files.items():
        assert b"somebody" not in content, name


@pytest.mark.parametrize("refused", ["token", "commit"])
def test_a_refusal_is_one_sentence_without_the_token(hub: StandIn, dataset: Path, refused: str) -> None:
    if refused == "commit":
        hub.refuses = 403
    environment = {} if refused == "commit" else {"HF_TOKEN": "hf_wrong_and_secret"}
    done = rro("push", str(dataset), "me/pairs", env=environment)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "does not let you write to me/pairs" in said and "a text of the hub's own" not in said
    assert TOKEN not in said and "hf_wrong_and_secret" not in said and "Traceback" not in said
    assert not any(hub.repos.values())


def test_bad_input_asks_nothing_of_the_hub(hub: StandIn, dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "journal.sqlite").write_bytes(b"")
    done = rro("push", str(run), "me/pairs")
    assert done.returncode == 2 and "rro export" in done.stderr
    done = rro("push", str(dataset), "pairs")
    assert done.returncode == 2 and "OWNER/NAME" in done.stderr
    assert hub.asked == []


def test_what_is_neither_is_refused(dataset: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        contents_of(tmp_path / "none", "x")
    (dataset / "more").mkdir()
    with pytest.raises(DataError, match="is not a plain file"):
        contents_of(dataset, "x")
    (dataset / "more").rmdir()
    (dataset / "link").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="is not a plain file"):
        contents_of(dataset, "x")
    (dataset / "link").unlink()
    (dataset / "README.md").unlink()
    with pytest.raises(DataError, match="neither a checkpoint nor an export"):
        contents_of(dataset, "x")
    (checkpoint / "rro_checkpoint.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no README.md"):
        contents_of(checkpoint, "x")
    (checkpoint / "README.md").write_text("mine")
    assert contents_of(checkpoint, "x")[1]["README.md"] == checkpoint / "README.md"


def test_a_card_holds_no_path_even_of_a_manifest_that_is_odd() -> None:
    card = model_card({**MANIFEST, "reference": None, "data": None, "settings": {"out": "/home/x"}}, "policy")
    assert "/home" not in card and "| base model | base (sha256 `b0`) |" in card
    assert "| reference |" not in card and "## Training" not in card
