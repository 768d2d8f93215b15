"""A tokenizer and random weights for a tiny policy: `python -m trainers.tiny_start SETTINGS`.

The tokenizer is trained on the rows that the policy will learn from. Standard output is one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainers.rows import Row, read_rows

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"

TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    f"{USER}{{{{- message['content'] -}}}}"
    "{%- elif message['role'] == 'assistant' -%}"
    f"{ASSISTANT}{{%- generation -%}}{{{{- message['content'] -}}}}{END}{{%- endgeneration -%}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    f"{{%- if add_generation_prompt -%}}{ASSISTANT}{{%- endif -%}}"
)
"""One token a role. The system message is left out: it is the same in every episode, a model trained from
scratch has nothing to learn from it, and here a prompt's tokens cost more than anything else."""

SPLIT = (
    r"', '[^']*', '(?:YES|NO)', '[A-Z]*', (?:None|'[^']*'), '[^']*'\)"  # what DESC says of a column
    r"|Thought:|\nAction:|Observation:"
    r"|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
"""What the tokenizer may merge: digits stay single, so that any number can be copied, and the parts of a
turn and of MySQL's answers that never change become one token each."""

HEAD = 32
"""Width of an attention head."""

SHAPES = ((0.0, 2), (0.8, 3), (1.6, 4), (6.0, 6), (12.0, 8))
"""Layers from so many million parameters on."""


@dataclass(frozen=True)
class Layout:
    """Layers, hidden width, width of the feed-forward part, heads."""

    layers: int
    width: int
    inner: int
    heads: int

    def parameters(self, vocabulary: int) -> int:
        """Of the whole model, its tied embedding counted once."""
        layer = 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width
        return vocabulary * self.width + self.layers * layer + self.width


@dataclass(frozen=True)
class Start:
    """What was written. `vocabulary` is smaller than asked for where the rows hold fewer pieces of text."""

    parameters: int
    vocabulary: int
    layers: int
    width: int


def layout(parameters: float, vocabulary: int) -> Layout:
    """The model of that many million parameters, as near as whole heads allow; at least one head."""
    layers = max(count for least, count in SHAPES if parameters >= least)

    def of(heads: int) -> Layout:
        width = heads * HEAD
        return Layout(layers, width, round(width * 8 / 3 / HEAD) * HEAD, heads)

    return min(
        map(of, range(1, 65)), key=lambda each: abs(each.parameters(vocabulary) - parameters * 1_000_000)
    )


def make_tokenizer(rows: Iterable[Row], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer with the chat template, trained on each different message once."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    texts = dict.fromkeys(
        text
        for row in rows
        for text in (*(each["content"] for each in row.prompt if each["role"] != "system"), *row.sides)
    )
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[PAD, USER, ASSISTANT, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def write_start(
    rows: Sequence[Row], folder: Path, *, parameters: float, vocabulary: int, positions: int, seed: int
) -> Start:
    """Write the checkpoint that training starts from.

    Args:
        rows: SFT rows, for the tokenizer.
        folder: new.
        parameters: about how many, in millions.
        vocabulary: tokens at most.
        positions: tokens of the longest context.
        seed: of the weights.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(rows, vocabulary)
    shape = layout(parameters, len(tokenizer))
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=positions,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Start(sum(each.numel() for each in model.parameters()), len(tokenizer), shape.layers, shape.width)


def main(argv: Sequence[str]) -> int:
    """Entry point of the child: `argv` is a JSON object: `data`, `folder`, and what `write_start` is told."""
    orders = json.loads(argv[0])
    rows = read_rows(Path(orders.pop("data")), "sft")
    start = write_start(rows, Path(orders.pop("folder")), **orders)
    print(json.dumps(asdict(start)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
