"""Expert turns as a tiny policy reads them: tokenizer, chat template, episodes as token ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.rows import Row

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


PRODUCT = re.compile(r"\bB0[0-9A-Z]{8}\b")
"""A shop's product number: one token, for it is one choice; its ten characters mean nothing one by one."""


@dataclass(frozen=True)
class Conversation:
    """An episode's messages as (role, text). `trained`: the places of the replies that the loss is on."""

    messages: tuple[tuple[str, str], ...]
    trained: frozenset[int]


def conversations(rows: Iterable[Row]) -> list[Conversation]:
    """SFT rows that continue one another, joined: an episode each."""
    whole: list[tuple[tuple[str, str], ...]] = [
        tuple((each["role"], each["content"]) for each in (*row.prompt, *row.sides[0])) for row in rows
    ]
    growing: dict[tuple[tuple[str, str], ...], list[int]] = {}
    found: list[tuple[tuple[tuple[str, str], ...], set[int]]] = []
    # Short ones first: a row then finds the episode that it continues.
    for index in sorted(range(len(whole)), key=lambda index: len(whole[index])):
        messages = whole[index]
        places = [i for i, (role, _) in enumerate(messages) if role == "assistant"]
        shorter = (messages[: place + 1] for place in reversed(places[:-1]))
        host = next((growing[each].pop() for each in shorter if growing.get(each)), None)
        if host is None:
            host = len(found)
            found.append((messages, set()))
        found[host] = (messages, found[host][1] | {places[-1]})
        growing.setdefault(messages, []).append(host)
    return [Conversation(messages, frozenset(trained)) for messages, trained in found]


def make_tokenizer(episodes: Sequence[Conversation], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer with the chat template, trained on the messages that the model will see.

    Product numbers in them come on top of `vocabulary`.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    texts = [text for each in episodes for role, text in each.messages if role != "system"]
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[PAD, USER, ASSISTANT, END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    numbers = sorted({number for text in texts for number in PRODUCT.findall(text)})
    core.add_tokens([AddedToken(number, normalized=False) for number in numbers])
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def product_numbers(tokenizer: Any) -> list[int]:
    """Ids of the product numbers that are tokens of their own."""
    added = tokenizer.get_added_vocab()
    return sorted(place for text, place in added.items() if PRODUCT.fullmatch(text))


def encode(episode: Conversation, tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Token ids as the chat template gives them, and which of them the loss is on."""
    roles = {
        "user": tokenizer.convert_tokens_to_ids(USER),
        "assistant": tokenizer.convert_tokens_to_ids(ASSISTANT),
    }
    ids: list[int] = []
    trained: list[bool] = []
    for place, (role, text) in enumerate(episode.messages):
        if role == "system":
            continue
        inside = tokenizer.encode(text, add_special_tokens=False)
        if role == "assistant":
            inside.append(tokenizer.eos_token_id)
        ids += [roles[role], *inside]
        trained += [False, *[place in episode.trained] * len(inside)]
    return ids, trained
