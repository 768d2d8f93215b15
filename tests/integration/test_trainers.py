"""The real model, two steps each way: what comes out is what a server and the next training take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.checkpoint import describe, differences
from trainers import DPOSettings, SFTSettings, train_dpo, train_sft

pytestmark = pytest.mark.integration

SYSTEM = {"role": "system", "content": "Answer with one SQL statement in execute[...]."}


def _rows() -> list[dict[str, Any]]:
    tables = ["airlines", "flights", "singer", "concert"]
    return [
        {
            "prompt": [SYSTEM, {"role": "user", "content": f"How many rows does {table} have?"}],
            "completion": [{"role": "assistant", "content": f"execute[SELECT COUNT(*) FROM {table}]"}],
        }
        for table in tables
    ]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_sft_then_dpo_on_smollm2(smollm2: Path, tmp_path: Path) -> None:
    rows = _rows()
    sft = train_sft(
        SFTSettings(
            data=_write(tmp_path / "sft.jsonl", rows),
            model=smollm2,
            out=tmp_path / "sft",
            steps=2,
            batch_size=4,
            lr=1e-4,
            device="cpu",
        )
    )
    assert sft.final_loss < sft.first_loss, "the same four rows twice"
    pairs = [
        {
            "prompt": row["prompt"],
            "chosen": row["completion"],
            "rejected": [{"role": "assistant", "content": "I do not know."}],
        }
        for row in rows
    ]
    dpo = train_dpo(
        DPOSettings(
            data=_write(tmp_path / "pairs.jsonl", pairs),
            model=tmp_path / "sft",
            out=tmp_path / "dpo",
            steps=2,
            batch_size=4,
            lr=5e-6,
            device="cpu",
        )
    )
    assert dpo.metrics["rewards/margins"] > dpo.first_metrics["rewards/margins"]
    served = describe(smollm2)
    for folder in ("sft", "dpo"):
        new = describe(tmp_path / folder)
        assert differences(served, new) == []
        assert new.sha256 != served.sha256
