"""A tokenizer and its chat template from a local folder, by transformers, which is loaded when asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rro_sdk.errors import CheckpointError, ConfigError, DataError
from rro_sdk.export.base import Tools, messages
from rro_sdk.types import Message

__all__ = ["TokenizerTemplate", "load_template"]


class TokenizerTemplate:
    """A transformers tokenizer as `rro_sdk.export.base.Template`.

    Args:
        tokenizer: the tokenizer; it has a chat template.
        tools: schemas that the template is given with every conversation.
    """

    def __init__(self, tokenizer: Any, tools: Tools | None = None) -> None:
        self._tokenizer = tokenizer
        self._tools = None if tools is None else [dict(tool) for tool in tools]
        self.bos: str | None = tokenizer.bos_token
        self.eos: str | None = tokenizer.eos_token
        self.bos_id: int | None = tokenizer.bos_token_id
        self.eos_id: int | None = tokenizer.eos_token_id
        added = tokenizer.added_tokens_decoder.values()
        self.special = tuple(
            sorted({*tokenizer.all_special_tokens, *(token.content for token in added if token.special)})
        )
        self.fingerprint = _fingerprint(tokenizer)

    def text(self, messages_: Sequence[Message], *, generate: bool) -> str:
        from jinja2.exceptions import TemplateError

        try:
            written: str = self._tokenizer.apply_chat_template(
                messages(messages_), tools=self._tools, add_generation_prompt=generate, tokenize=False
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise DataError("the chat template refuses these messages") from error
        return written

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=special)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def load_template(path: Path, tools: Tools | None = None) -> TokenizerTemplate:
    """Load a tokenizer from a folder; nothing is downloaded.

    Raises:
        ConfigError: transformers is not installed.
        CheckpointError: the folder holds no tokenizer that can be loaded, or one without a chat template.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ConfigError("a tokenizer needs transformers: pip install 'rro-sdk[train]'") from error
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a folder: give one that holds a tokenizer's files")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} has no tokenizer that can be loaded: copy its files there") from error
    if not tokenizer.chat_template:
        raise CheckpointError(
            f"{path} has no chat template: add chat_template.jinja, or give another tokenizer"
        )
    return TokenizerTemplate(tokenizer, tools)


def _fingerprint(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    tokens = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    parts = [tokenizer.chat_template, tokens, tokenizer.bos_token, tokenizer.eos_token]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
