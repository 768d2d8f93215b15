"""Saving what was trained, so that a server loads it as it is. Runs in the trainer's process only."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.checkpoint import content_hash
from trainers.events import TrainResult
from trainers.rows import file_sha256
from trainers.settings import TrainSettings

__all__ = ["MANIFEST", "save", "sync", "write_manifest"]

MANIFEST = "rro_checkpoint.json"
_PACKAGES = ("torch", "trl", "transformers", "peft", "datasets", "accelerate", "safetensors", "rro-sdk")


def save(trainer: Any, tokenizer: Any, settings: TrainSettings, folder: Path) -> str:
    """Write what a server loads as it is. Returns the hash of the weights."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    if settings.lora:
        model = model.merge_and_unload()
    model = model.to(getattr(torch, settings.save_dtype))
    model.config.use_cache = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Training sets special tokens for its own use; serving goes on with the base model's.
    source = settings.model / "generation_config.json"
    if source.is_file():
        shutil.copyfile(source, folder / source.name)
    return content_hash(folder)


def write_manifest(folder: Path, settings: TrainSettings, result: TrainResult) -> None:
    """Say beside the weights where they come from."""
    manifest = {
        "method": settings.method,
        "base_model": {"path": str(settings.model), "weights_sha256": content_hash(settings.model)},
        "data": {
            "path": str(settings.data),
            "sha256": file_sha256(settings.data),
            "rows": result.rows_total,
            "rows_used": result.rows_used,
            "rows_left_out": [msgspec.to_builtins(item) for item in result.rows_left_out],
        },
        "settings": {
            name: str(value) if isinstance(value, Path) else value for name, value in vars(settings).items()
        }
        | {"lr": settings.peak_lr},
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": sys.version.split()[0],
        "result": {
            name: value
            for name, value in msgspec.to_builtins(result).items()
            if name not in ("path", "log", "rows_left_out")
        },
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def sync(folder: Path) -> None:
    """To the disk before the rename, so that a power cut cannot leave a whole name on half a file."""
    for path in [*sorted(folder.iterdir()), folder]:
        if path.is_file():
            path.chmod(0o644)  # safetensors writes 0600, and the server may run as another user
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
