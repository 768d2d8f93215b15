"""A run of a scripted policy, and small tokenizers whose chat templates differ in what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.methods import FixedSize
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task
from tests.toys import ScriptedPolicy, ToyEnv

CHATML = (
    "{% if tools %}{{ '<|im_start|>tools\n' + (tools | tojson) + '<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def say(seed: int) -> str:
    """A thought and an action; one in three goes on, the others end well or badly."""
    action = "go left" if seed % 3 == 0 else f"end {seed % 2}"
    return f"Thought: maybe {seed % 97}\nAction: {action}"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: a dozen tasks of up to three steps, most with pairs."""
    folder = tmp_path_factory.mktemp("runs") / "first"

    async def explore() -> int:
        sampler = Sampler(
            ToyEnv(max_steps=3),
            policy=ScriptedPolicy(default=say),
            method=FixedSize(rollouts=2, max_candidates=3),
            run_dir=folder,
        )
        async with sampler:
            async for _ in sampler.events([Task(f"t{number:02}", "begin") for number in range(12)]):
                pass
        return sampler.summary().pairs

    assert asyncio.run(explore()) >= 8
    return folder


@pytest.fixture(scope="session")
def pairs_file(run: Path) -> Path:
    return run / "pairs.jsonl"


MakeTokenizer = Callable[..., Path]


@pytest.fixture(scope="session")
def make_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> MakeTokenizer:
    """Makes a byte-level tokenizer's folder from a template; `adds_bos` and `merges` as real ones have."""
    pytest.importorskip("transformers", reason="needs the [train] extra")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    def make(
        template: str | None = CHATML, *, adds_bos: bool = False, merge: tuple[str, str] | None = None
    ) -> Path:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        pieces = [*SPECIAL, *letters, *(["".join(merge)] if merge else [])]
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        core = Tokenizer(models.BPE(vocab=vocabulary, merges=[merge] if merge else []))
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        core.decoder = decoders.ByteLevel()
        core.add_special_tokens(list(SPECIAL))
        if adds_bos:
            core.post_processor = processors.TemplateProcessing(
                single=f"{SPECIAL[0]} $A", special_tokens=[(SPECIAL[0], vocabulary[SPECIAL[0]])]
            )
        tokenizer: Any = PreTrainedTokenizerFast(
            tokenizer_object=core,
            bos_token=SPECIAL[0] if adds_bos else None,
            eos_token=SPECIAL[2],
            pad_token=SPECIAL[2],
        )
        tokenizer.chat_template = template
        folder = tmp_path_factory.mktemp("tokenizer") / "model"
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def chatml(make_tokenizer: MakeTokenizer) -> Path:
    return make_tokenizer()


@pytest.fixture(scope="session")
def with_bos(make_tokenizer: MakeTokenizer) -> Path:
    """As Llama's: the template writes the beginning-of-sequence token, and the tokenizer adds it as well."""
    return make_tokenizer(
        "{{ bos_token }}" + CHATML.replace("+ '\n' }}{% endfor", "}}{% endfor"), adds_bos=True
    )
