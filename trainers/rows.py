"""Reading training files: every row is checked before anything is loaded. Pure but for reading the file.

A preference row is `{"prompt": [messages], "chosen": [message], "rejected": [message], ...}` and an SFT row
`{"prompt": [messages], "completion": [message], ...}`. The history is in `prompt`; each other side is exactly
one assistant action, because TRL trains on every token of it, observations included. Other columns are
carried by the file and ignored here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from rro_sdk.errors import ConfigError, DataError

__all__ = ["Row", "file_sha256", "parse_rows", "read_rows"]

Method = Literal["sft", "dpo"]
SIDES: Mapping[Method, tuple[str, ...]] = {"sft": ("completion",), "dpo": ("chosen", "rejected")}
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Row:
    """One checked row. `line` counts from 1; `sides` are the action texts in the order of `SIDES`."""

    line: int
    prompt: tuple[dict[str, str], ...]
    sides: tuple[str, ...]

    def columns(self, method: Method) -> dict[str, list[dict[str, str]]]:
        """The row as TRL takes it."""
        actions = zip(SIDES[method], self.sides, strict=True)
        return {
            "prompt": list(self.prompt),
            **{side: [{"role": "assistant", "content": text}] for side, text in actions},
        }


def read_rows(path: Path, method: Method) -> tuple[Row, ...]:
    """Read and check a whole training file.

    Raises:
        ConfigError: there is no such file.
        DataError: it is empty or a row is not what it should be; names the line and the remedy.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror}): give a JSON lines file") from error
    return parse_rows(content, str(path), method)


def parse_rows(content: bytes, name: str, method: Method) -> tuple[Row, ...]:
    """Check the bytes of a training file. `name` is what error messages call it.

    Raises:
        DataError: see `read_rows`.
    """
    lines = content.split(b"\n")
    rows = tuple(
        _row(line, number, last=number == len(lines), name=name, method=method)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )
    if not rows:
        raise DataError(f"{name} is empty: it needs at least one row")
    return rows


def file_sha256(path: Path) -> str:
    """sha256 (hex) of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _row(line: bytes, number: int, *, last: bool, name: str, method: Method) -> Row:
    where = f"{name} line {number}"
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A whole file ends in a newline, so a last line without one was cut off while it was written.
        remedy = "it was cut off while being written; delete it or export again" if last else "export again"
        raise DataError(f"{where} is not valid JSON: {remedy}") from error
    if not isinstance(fields, dict):
        raise DataError(f"{where} is not a JSON object: write one row a line")
    prompt = _prompt(fields, where)
    sides = tuple(_side(fields, side, where) for side in SIDES[method])
    if method == "dpo" and sides[0] == sides[1]:
        raise DataError(
            f"{where}: chosen and rejected are the same text: there is nothing to prefer; leave it out"
        )
    return Row(number, prompt, sides)


def _prompt(fields: Mapping[str, Any], where: str) -> tuple[dict[str, str], ...]:
    messages = _messages(fields, "prompt", where)
    if not messages:
        raise DataError(f"{where}: prompt is empty: it needs the history that the action answers")
    if messages[-1]["role"] == "assistant":
        raise DataError(
            f"{where}: prompt ends with an assistant message: put that action in the row's other side"
        )
    return tuple(messages)


def _side(fields: Mapping[str, Any], side: str, where: str) -> str:
    messages = _messages(fields, side, where)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise DataError(
            f"{where}: {side} must be exactly one assistant message; the history belongs in prompt"
        )
    if not messages[0]["content"].strip():
        raise DataError(f"{where}: {side} is blank: leave the row out")
    return messages[0]["content"]


def _messages(fields: Mapping[str, Any], key: str, where: str) -> list[dict[str, str]]:
    value = fields.get(key)
    if value is None:
        raise DataError(f"{where} has no {key}: a row needs it as a list of messages")
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise DataError(f"{where}: {key} must be a list of messages")
    messages: list[dict[str, str]] = []
    for position, message in enumerate(value):
        if not isinstance(message, dict):
            raise DataError(f"{where}: {key}[{position}] must be an object with role and content")
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise DataError(f"{where}: {key}[{position}].role must be one of {', '.join(_ROLES)}")
        if not isinstance(content, str):
            raise DataError(f"{where}: {key}[{position}].content must be text")
        messages.append({"role": role, "content": content})
    return messages
