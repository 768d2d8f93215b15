"""A run's pairs file goes into the libraries of others without a converter."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from rro_sdk.methods import FixedSize
from rro_sdk.run import PAIRS_NAME
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task
from tests.toys import ScriptedPolicy, ToyEnv

pytest.importorskip("trl", reason="needs the [train] extra")


def thoughtful(seed: int) -> str:
    return f"Thought: maybe {seed % 97}\nAction: end {seed % 2}"


async def test_datasets_and_trl_take_a_pairs_file_as_it_is(tiny: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    run = tmp_path / "run"
    sampler = Sampler(
        ToyEnv(),
        policy=ScriptedPolicy(default=thoughtful),
        method=FixedSize(rollouts=1, max_candidates=4),
        run_dir=run,
    )
    async with sampler:
        made = [pair async for pair in sampler.pairs(Task(f"t{n}", "begin") for n in range(12))]
    assert len(made) >= 4

    rows = load_dataset(
        "json", data_files=str(run / PAIRS_NAME), split="train", cache_dir=str(tmp_path / "c")
    )
    assert len(rows) == len(made)
    assert {"prompt", "chosen", "rejected"} <= set(rows.column_names)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            gradient_checkpointing=False,
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )
    result = trainer.train()
    assert result.global_step == 1
    assert result.training_loss == pytest.approx(math.log(2), abs=1e-3), (
        "policy and reference are one at first"
    )
