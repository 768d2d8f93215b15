"""TRL's trainers really train on our exports."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.export import ExportReport, export_run

pytest.importorskip("trl", reason="needs the [train] extra")

COMMON = {
    "max_steps": 1,
    "per_device_train_batch_size": 2,
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "save_strategy": "no",
    "gradient_checkpointing": False,
    "disable_tqdm": True,
}


def sized(tokenizer: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@pytest.fixture(scope="module")
def tokenizer(chatml: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(chatml)


@pytest.fixture(scope="module")
def model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised causal model of some thirty thousand parameters."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(sized(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(out: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(out), split="train", cache_dir=str(cache))


def dpo(model: Path, tokenizer: Any, rows: Any, folder: Path) -> tuple[Any, float]:
    """A trainer that has trained one step, and its loss."""
    from transformers import AutoModelForCausalLM
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=DPOConfig(output_dir=str(folder), max_length=2048, **COMMON),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    return trainer, trainer.train().training_loss


def prepared(trainer: Any) -> list[tuple[list[int], list[int], list[int]]]:
    """What the trainer made of the rows: prompt, chosen and rejected tokens."""
    return [(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) for row in trainer.train_dataset]


def test_dpo_on_messages_with_tools_and_on_text(
    run: Path, model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    (tmp_path / "tools.json").write_text(json.dumps([{"type": "function", "function": {"name": "go"}}]))
    reports: dict[str, ExportReport] = {}
    trained: dict[str, list[tuple[list[int], list[int], list[int]]]] = {}
    for name, to, tools in (
        ("messages", "trl", None),
        ("text", "trl-text", None),
        ("tools", "trl", tmp_path / "tools.json"),
    ):
        out = tmp_path / name
        reports[name] = export_run(run, to, out, tokenizer=model, tools=tools)
        trainer, loss = dpo(model, tokenizer, load(out, tmp_path / "cache"), tmp_path / f"{name}-out")
        assert loss == pytest.approx(math.log(2), abs=1e-3), "policy and reference are one at first"
        trained[name] = prepared(trainer)
        assert len(trained[name]) == reports[name].rows, "TRL leaves no row out"

    newline = tokenizer("\n")["input_ids"]
    as_text = [(p, [*c, *newline], [*r, *newline]) for p, c, r in trained["text"]]
    assert as_text == trained["messages"], "the same tokens, but for the line break after the end"
    longest = max(len(p) + max(len(c), len(r)) for p, c, r in trained["tools"])
    assert reports["tools"].drift is not None
    assert reports["tools"].drift.longest == longest
    assert all(
        len(shown) > len(plain)
        for (shown, *_), (plain, *_) in zip(trained["tools"], trained["messages"], strict=True)
    ), "the prompt shows the tools"


def test_kto(run: Path, model: Path, tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    report = export_run(run, "kto", tmp_path / "kto")
    trainer = KTOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=KTOConfig(output_dir=str(tmp_path / "out"), max_length=2048, **COMMON),
        train_dataset=load(tmp_path / "kto", tmp_path / "cache"),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == report.rows
    assert trainer.train().training_loss == pytest.approx(0.5, abs=1e-3), "1 - sigmoid(0) on both labels"


def test_reward_model(run: Path, tokenizer: Any, tmp_path: Path) -> None:
    from transformers import LlamaForSequenceClassification
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    report = export_run(run, "reward", tmp_path / "reward")
    config = sized(tokenizer)
    config.num_labels = 1
    trainer = RewardTrainer(
        model=LlamaForSequenceClassification(config),
        args=RewardConfig(output_dir=str(tmp_path / "out"), max_length=2048, **COMMON),
        train_dataset=load(tmp_path / "reward", tmp_path / "cache"),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == report.rows
    result = trainer.train()
    assert result.global_step == 1
    assert math.isfinite(result.training_loss)
    assert any("margin" in row for row in trainer.train_dataset)
