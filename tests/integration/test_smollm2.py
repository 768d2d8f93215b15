"""What `rro model get smollm2` leaves, read without torch. It was loaded and questioned when it was made."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from trainers.smollm2 import PARAMETERS

pytestmark = pytest.mark.integration


def test_the_checkpoint_is_whole(smollm2: Path) -> None:
    config = json.loads((smollm2 / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is True
    assert config["dtype"] == "float32"
    assert "quantization_config" not in config
    with (smollm2 / "model.safetensors").open("rb") as file:
        tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors.pop("__metadata__", None)
    assert "lm_head.weight" not in tensors  # tied: stored once
    assert {tensor["dtype"] for tensor in tensors.values()} == {"F32"}
    assert sum(math.prod(tensor["shape"]) for tensor in tensors.values()) == PARAMETERS


def test_it_can_chat(smollm2: Path) -> None:
    assert "<|im_start|>" in (smollm2 / "chat_template.jinja").read_text()
    tokenizer = json.loads((smollm2 / "tokenizer_config.json").read_text())
    generation = json.loads((smollm2 / "generation_config.json").read_text())
    ids = {
        t["content"]: t["id"] for t in json.loads((smollm2 / "tokenizer.json").read_text())["added_tokens"]
    }
    assert tokenizer["eos_token"] == "<|im_end|>"
    assert generation["eos_token_id"] == ids["<|im_end|>"]


def test_nothing_half_made_is_left(smollm2: Path) -> None:
    assert list(smollm2.parent.glob(".smollm2-*")) == []
