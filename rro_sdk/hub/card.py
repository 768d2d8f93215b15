"""The model card: what a trainer's manifest says of a checkpoint, less the paths of its machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

METHODS = {
    "sft": "supervised fine-tuning on expert turns",
    "dpo": "direct preference optimization on step-level pairs",
    "kto": "KTO on labelled completions",
    "reward": "a reward model on preference pairs",
}

_PATHS = ("data", "model", "out", "reference", "tensorboard", "sampled_with", "launch")
"""Settings that name places on a machine."""


def model_card(manifest: Mapping[str, Any], name: str) -> str:
    """README.md for a checkpoint that `rro train` made.

    Args:
        manifest: the checkpoint's rro_checkpoint.json.
        name: the model's.
    """
    method = str(manifest.get("method", ""))
    data = _mapping(manifest.get("data"))
    result = _mapping(manifest.get("result"))
    parts = [
        _header(name, method),
        f"# {name}",
        f"Trained by [rro-sdk](https://arxiv.org/abs/2505.20737): {METHODS.get(method, method)}.",
        _table(
            "From",
            {
                "base model": _named(manifest.get("base_model")),
                "reference": _named(manifest.get("reference")),
                "data": _named(data),
                "rows": data.get("rows"),
                "rows used": data.get("rows_used"),
            },
        ),
        _table("Runs that the data is of", _runs(data)),
        _table(
            "Training",
            {
                key: value
                for key, value in _mapping(manifest.get("settings")).items()
                if key not in _PATHS and isinstance(value, str | int | float | bool)
            },
        ),
        _table(
            "Result",
            {key: result.get(key) for key in ("steps", "first_loss", "final_loss", "weights_sha256")},
        ),
        _table("Packages", _mapping(manifest.get("packages"))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(name: str, method: str) -> str:
    """YAML, of which JSON is a part: every value is written as JSON."""
    fields = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification" if method == "reward" else "text-generation",
        "tags": ["rro", "agents", *([method] if method else [])],
        "model_name": name,
    }
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in fields.items()), "---"])


def _named(origin: object) -> str | None:
    """What something was called, and its hash; never where it lay."""
    found = _mapping(origin)
    if not found:
        return None
    digest = found.get("weights_sha256") or found.get("sha256")
    return f"{PurePath(str(found.get('path', ''))).name} (sha256 `{digest}`)"


def _runs(data: Mapping[str, Any]) -> dict[str, object]:
    runs = data.get("runs")
    return {
        str(run.get("name")): f"{_mapping(run.get('method')).get('name')} in {run.get('environment')}"
        for run in (runs if isinstance(runs, list) else [])
        if isinstance(run, Mapping)
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _table(title: str, rows: Mapping[str, object]) -> str:
    there = {name: value for name, value in rows.items() if value is not None}
    if not there:
        return ""
    lines = "\n".join(f"| {name} | {value} |" for name, value in there.items())
    return f"## {title}\n\n| | |\n|---|---|\n{lines}"
