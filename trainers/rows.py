"""Reading training files: every row is checked before anything is loaded. Pure but for reading.

| method | a row |
|---|---|
| sft | `prompt`, `completion` |
| dpo | `prompt`, `chosen`, `rejected` |
| kto | `prompt`, `completion`, `label`; or a pair, which gives two |
| reward | `chosen`, `rejected` as whole conversations, or a pair; `margin` if there is one |

All but `label` and `margin` are lists of messages. The history is in `prompt`; every other side is one action
of the assistant, or a trajectory: actions with observations (user) between them, an action last. Observations
are never trained on. Other columns are carried by the file and ignored here.

In place of a file a run's folder may be given: its pairs are read then, and for sft the turns of its solved
trajectories (`rro_sdk.export.sft`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from rro_sdk.errors import ConfigError, DataError

__all__ = ["SIDES", "Method", "Row", "file_sha256", "parse_rows", "read_content", "read_rows"]

Method = Literal["sft", "dpo", "kto", "reward"]
SIDES: Mapping[Method, tuple[str, ...]] = {
    "sft": ("completion",),
    "dpo": ("chosen", "rejected"),
    "kto": ("completion",),
    "reward": ("chosen", "rejected"),
}
Said = dict[str, str]
"""A message: `role` and `content`."""

_PAIR = ("chosen", "rejected")
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Row:
    """One checked row.

    Attributes:
        line: its line in the file, from 1.
        prompt: the history.
        sides: what follows it, in the order of `SIDES`.
        label: whether a completion is a good one (kto).
        margin: by how much chosen is better (reward), where the file says so.
        weight_version: the weights that made it, where the file says so.
        problem: why there is nothing to learn from it, where such rows are left out.
    """

    line: int
    prompt: tuple[Said, ...]
    sides: tuple[tuple[Said, ...], ...]
    label: bool | None = None
    margin: float | None = None
    weight_version: str = ""
    problem: str | None = None

    def columns(self, method: Method) -> dict[str, Any]:
        """The row as TRL takes it."""
        sides = dict(zip(SIDES[method], map(list, self.sides), strict=True))
        extra = {"label": self.label, "margin": self.margin}
        return {
            "prompt": list(self.prompt),
            **sides,
            **{name: value for name, value in extra.items() if value is not None},
        }


def read_rows(path: Path, method: Method, *, allow_drop: bool = False) -> tuple[Row, ...]:
    """Read and check a whole training file, or what a run's folder holds.

    Args:
        path: of the file or folder.
        method: what the rows are for.
        allow_drop: a blank side, or two equal ones, are noted in the row and not raised.

    Raises:
        ConfigError: there is no such file.
        DataError: it is empty or a row is not what it should be; names the line and the remedy.
        JournalError: the run cannot be read.
    """
    return parse_rows(read_content(path, method), str(path), method, allow_drop=allow_drop)


def read_content(path: Path, method: Method) -> bytes:
    """The bytes of a training file; of a run's folder, what its export would hold.

    Raises:
        ConfigError: there is no such file.
        DataError: the run holds nothing to train on.
        JournalError: the run cannot be read.
    """
    if path.is_dir():
        return _read_run(path, method)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path} ({error.strerror}): give a JSON lines file, or a run's folder"
        ) from error


def _read_run(path: Path, method: Method) -> bytes:
    from rro_sdk.export.base import Context
    from rro_sdk.export.formats import FORMATS
    from rro_sdk.export.source import read_source

    rows = FORMATS["sft" if method == "sft" else "trl"].rows(read_source(path), Context())
    content = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    if not content:
        what = "solved trajectory" if method == "sft" else "preference pair"
        raise DataError(f"run {path} holds no {what}: explore more tasks")
    return content


def parse_rows(content: bytes, name: str, method: Method, *, allow_drop: bool = False) -> tuple[Row, ...]:
    """Check the bytes of a training file, as `read_rows` does. `name` is what error messages call it.

    Raises:
        DataError: see `read_rows`.
    """
    lines = content.split(b"\n")
    rows = tuple(
        row
        for number, line in enumerate(lines, start=1)
        if line.strip()
        for row in _rows(line, number, last=number == len(lines), name=name, method=method)
    )
    if not rows:
        raise DataError(f"{name} is empty: it needs at least one row")
    for row in rows:
        if row.problem is not None and not allow_drop:
            raise DataError(f"{name} line {row.line}: {row.problem}; leave it out, as --allow-drop does")
    return rows


def file_sha256(path: Path) -> str:
    """sha256 (hex) of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(line: bytes, number: int, *, last: bool, name: str, method: Method) -> Iterator[Row]:
    where = f"{name} line {number}"
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A whole file ends in a newline, so a last line without one was cut off while it was written.
        remedy = "it was cut off while being written; delete it or export again" if last else "export again"
        raise DataError(f"{where} is not valid JSON: {remedy}") from error
    except RecursionError as error:
        raise DataError(f"{where} is nested too deeply: a row is a flat object, export again") from error
    if not isinstance(fields, dict):
        raise DataError(f"{where} is not a JSON object: write one row a line")
    if fields.get("tools") not in (None, "", "[]", []):
        raise DataError(
            f"{where} has tools, which would be left out of the prompt here: train on it with TRL, or export"
            " again without --tools"
        )
    version = fields.get("weight_version")
    version = version if isinstance(version, str) else ""
    if method == "reward" and "prompt" not in fields:
        fields = _split_conversations(fields, where)
    prompt = _prompt(fields, where)
    if method == "sft" or (method == "kto" and "chosen" not in fields):
        label = _label(fields, where) if method == "kto" else None
        completion = _side(fields, "completion", where)
        problem = _problem({"completion": completion})
        yield Row(number, prompt, (completion,), label, weight_version=version, problem=problem)
        return
    chosen, rejected = (_side(fields, side, where) for side in _PAIR)
    problem = _problem({"chosen": chosen, "rejected": rejected})
    if method == "kto":
        yield Row(number, prompt, (chosen,), True, weight_version=version, problem=problem)
        yield Row(number, prompt, (rejected,), False, weight_version=version, problem=problem)
    else:
        margin = _margin(fields, where) if method == "reward" else None
        sides = (chosen, rejected)
        yield Row(number, prompt, sides, margin=margin, weight_version=version, problem=problem)


def _problem(sides: Mapping[str, tuple[Said, ...]]) -> str | None:
    """Why there is nothing to learn from such sides, or None."""
    for name, messages in sides.items():
        if any(not message["content"].strip() for message in messages[::2]):
            return f"{name} is blank"
    values = list(sides.values())
    if any(each == values[0] for each in values[1:]):
        return "chosen and rejected are the same text: there is nothing to prefer"
    return None


def _split_conversations(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A pair of whole conversations as the history that both share and what follows it."""
    chosen, rejected = (_messages(fields, side, where) for side in _PAIR)
    shared = 0
    for left, right in zip(chosen, rejected, strict=False):
        if left != right:
            break
        shared += 1
    shared = min(shared, len(chosen) - 1, len(rejected) - 1)
    while shared > 0 and chosen[shared - 1]["role"] == "assistant":
        shared -= 1  # an action and what follows it stay together
    return {
        **fields,
        "prompt": chosen[: max(shared, 0)],
        "chosen": chosen[max(shared, 0) :],
        "rejected": rejected[max(shared, 0) :],
    }


def _label(fields: Mapping[str, Any], where: str) -> bool:
    label = fields.get("label")
    if not isinstance(label, bool):
        raise DataError(f"{where}: label must be true or false: export it again with rro export --to kto")
    return label


def _margin(fields: Mapping[str, Any], where: str) -> float | None:
    if "margin" in fields:
        return _number(fields["margin"], "margin must be a number", where)
    if "chosen_reward" in fields and "rejected_reward" in fields:
        says = "chosen_reward and rejected_reward must be numbers"
        chosen, rejected = (_number(fields[f"{side}_reward"], says, where) for side in _PAIR)
        return _number(chosen - rejected, says, where)
    return None


def _number(value: object, says: str, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DataError(f"{where}: {says}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{where}: {says} of ordinary size")
    return number


def _prompt(fields: Mapping[str, Any], where: str) -> tuple[Said, ...]:
    messages = _messages(fields, "prompt", where)
    if not messages:
        raise DataError(f"{where}: prompt is empty: it needs the history that the action answers")
    if messages[-1]["role"] == "assistant":
        raise DataError(
            f"{where}: prompt ends with an assistant message: put that action in the row's other side"
        )
    return tuple(messages)


def _side(fields: Mapping[str, Any], side: str, where: str) -> tuple[Said, ...]:
    messages = _messages(fields, side, where)
    if not _turns(message["role"] for message in messages):
        raise DataError(
            f"{where}: {side} must be one action (assistant), or actions with observations (user) between"
            " them; the history belongs in prompt"
        )
    return tuple(messages)


def _turns(roles: Iterable[str]) -> bool:
    found = list(roles)
    return len(found) % 2 == 1 and all(
        role == ("assistant", "user")[place % 2] for place, role in enumerate(found)
    )


def _messages(fields: Mapping[str, Any], key: str, where: str) -> list[Said]:
    value = fields.get(key)
    if value is None:
        raise DataError(f"{where} has no {key}: a row needs it as a list of messages")
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise DataError(f"{where}: {key} must be a list of messages")
    messages: list[Said] = []
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
