"""A full disk, by the errors that libraries raise where nothing can be written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trainers.room import found_full
from trainers.tiny_model import main

from .conftest import sft_rows, write_rows

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(count, 0, count))


def failure(what: str) -> BaseException:
    import torch
    from safetensors import SafetensorError

    if what == "safetensors":  # it renames a file of its own into place, so it is not let near a device
        return SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    try:
        with FULL.open("wb", buffering=0) as full:
            if what == "torch":
                torch.save({"weight": torch.zeros(200_000)}, full)
            full.write(b"x")
    except (OSError, RuntimeError) as error:
        return error
    raise AssertionError(f"{what} wrote to a full disk")


@pytest.mark.parametrize("what", ["python", "torch", "safetensors"])
def test_an_error_that_names_a_full_disk(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1 << 30)  # the hidden folder may be gone by now
    error = failure(what)
    assert found_full(error, [tmp_path])
    try:
        raise RuntimeError("something else") from error
    except RuntimeError as later:
        assert found_full(later, [tmp_path])
    assert not found_full(RuntimeError("something else"), [tmp_path])


def test_an_error_that_does_not_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")  # torch's
    free(monkeypatch, 1 << 30)
    assert not found_full(error, [tmp_path])
    free(monkeypatch, 4096)
    assert found_full(error, [tmp_path])


@pytest.mark.parametrize(
    ("room", "status", "says"),
    [
        (1 << 20, 2, "free and the model needs about"),
        (1 << 30, 1, "was full before the checkpoint was whole"),
    ],
)
def test_a_tiny_model_says_that_the_disk_is_full(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    room: int,
    status: int,
    says: str,
) -> None:
    from transformers import LlamaForCausalLM

    def save(*_: Any, **__: Any) -> None:
        raise failure("safetensors")

    free(monkeypatch, room)
    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", save)
    monkeypatch.setattr("trainers.tiny_model._end_with_parent", lambda: None)
    data = write_rows(tmp_path / "sft.jsonl", sft_rows(4))
    given = {"data": str(data), "out": str(tmp_path / "new"), "parameters": 0.05, "vocabulary": 300}
    assert main([json.dumps({**given, "epochs": 0, "threads": 1})]) == status
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert says in told["error"]
    assert told["bad_input"] == (status == 2)
    assert list(tmp_path.iterdir()) == [data]
