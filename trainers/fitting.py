"""Which rows can be trained on as they are: lengths and template drift, judged on token ids. Pure.

TRL cuts a row that is longer than `max_length` and drops one whose prompt alone fills it, without a word;
and where the prompt's tokens are not the beginning of the whole row's tokens it trains on a context that the
model never sees at inference. Both are found here, before training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import and_, or_

from rro_sdk.errors import DataError
from trainers.events import LeftOut
from trainers.rows import SIDES, Method, Row

__all__ = [
    "Encoded",
    "Sequenced",
    "choose",
    "encode",
    "fit",
    "fold_continuations",
    "marks_after_prompt",
    "problem",
]

Ids = tuple[int, ...]
Template = Callable[[list[dict[str, str]], bool], Sequence[int]]
_SHOWN = 5


@dataclass(frozen=True)
class Encoded:
    """A row's token ids.

    Attributes:
        row: what was encoded.
        prompt: the prompt's tokens, to the opening of the first action.
        sides: the whole sequence of each side, prompt included.
        actions: for each side, where each of its actions begins and ends in the sequence. Empty: every side
            is one action, from the prompt's end to the sequence's.
        rewritten: the side in which the template writes an earlier turn otherwise once more follows, if any.
    """

    row: Row
    prompt: Ids
    sides: tuple[Ids, ...]
    actions: tuple[tuple[tuple[int, int], ...], ...] = ()
    rewritten: str | None = None

    def trained(self, side: int) -> tuple[bool, ...]:
        """For each token of a side's sequence, whether an action wrote it. Observations did not."""
        whole = self.sides[side]
        spans = self.actions[side] if self.actions else ((len(self.prompt), len(whole)),)
        marks = [False] * len(whole)
        for begin, end in spans:
            marks[begin:end] = [True] * (end - begin)
        return tuple(marks)


@dataclass(frozen=True)
class Sequenced:
    """One SFT sequence. `trained` marks the tokens that the loss is on; `rows` counts what it came from."""

    ids: Ids
    trained: tuple[bool, ...]
    rows: int


def encode(row: Row, template: Template, method: Method) -> Encoded:
    """Token ids of a row. `template(messages, add_generation_prompt)` is the tokenizer's chat template."""
    if row.problem is not None:
        return Encoded(row, (), ((),) * len(row.sides))
    prompt = list(row.prompt)
    opening = tuple(template(prompt, True))
    sides, actions, rewritten = [], [], None
    for name, said in zip(SIDES[method], row.sides, strict=True):
        whole = tuple(template([*prompt, *said], False))
        spans = []
        for turn in range(0, len(said), 2):
            begun = opening if turn == 0 else tuple(template([*prompt, *said[:turn]], True))
            ended = tuple(template([*prompt, *said[: turn + 1]], False))
            spans.append((len(begun), common_prefix(ended, whole)))
            if turn and whole[: len(begun)] != begun:
                rewritten = name
        sides.append(whole)
        actions.append(tuple(spans))
    return Encoded(row, opening, tuple(sides), tuple(actions), rewritten)


def marks_after_prompt(encoded: Encoded, side: int) -> list[int]:
    """1 for each token after the prompt that an action wrote, 0 for an observation's."""
    return list(map(int, encoded.trained(side)[len(encoded.prompt) :]))


def problem(encoded: Encoded, max_length: int, method: Method) -> str | None:
    """Why the row cannot be trained on as it is, or None."""
    if encoded.row.problem is not None:
        return encoded.row.problem
    prompt = len(encoded.prompt)
    for side, ids in zip(SIDES[method], encoded.sides, strict=True):
        if len(ids) > max_length:
            tokens = f"{prompt} prompt + {len(ids) - prompt} {side} = {len(ids)} tokens"
            return f"{tokens}, over max_length {max_length}"
        if ids[:prompt] != encoded.prompt:
            same = common_prefix(ids, encoded.prompt)
            return (
                f"the chat template writes the prompt differently before {side} (from its token {same + 1})"
            )
        if len(ids) == prompt:
            return f"{side} adds no token to the prompt"
    if encoded.rewritten is not None:
        return f"the chat template writes earlier turns of {encoded.rewritten} differently once more follow"
    if len(set(encoded.sides)) < len(encoded.sides):
        return "chosen and rejected are the same tokens"
    return None


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the longest beginning that both share; slices compare fast, so it is found by halving."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[low:middle] == right[low:middle] else (low, middle - 1)
    return low


def fit(
    rows: Sequence[Encoded], max_length: int, method: Method, *, allow_drop: bool, name: str
) -> tuple[tuple[Encoded, ...], tuple[LeftOut, ...]]:
    """Split rows into those to train on and those to leave out.

    Raises:
        DataError: a row cannot be trained on and `allow_drop` is off, or no row is left.
    """
    judged = [(row, problem(row, max_length, method)) for row in rows]
    left_out = tuple(LeftOut(row.row.line, reason) for row, reason in judged if reason is not None)
    kept = tuple(row for row, reason in judged if reason is None)
    if left_out and (not allow_drop or not kept):
        shown = "; ".join(f"line {item.line}: {item.reason}" for item in left_out[:_SHOWN])
        more = f"; and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        remedy = (
            "no row is left to train on; raise --max-length, or give other rows"
            if not kept
            else "raise --max-length, or leave them out with --allow-drop"
        )
        raise DataError(f"{name}: {len(left_out)} of {len(rows)} rows do not fit: {shown}{more}: {remedy}")
    return kept, left_out


def choose(count: int, wanted: int | None, order: Sequence[int]) -> tuple[int, ...]:
    """Indices of the items that a run of `wanted` places will see: all of them, or the first of `order`."""
    if wanted is None or wanted >= count:
        return tuple(range(count))
    return tuple(sorted(order[:wanted]))


def fold_continuations(rows: Sequence[Encoded]) -> tuple[Sequenced, ...]:
    """Join SFT rows that continue one another into one sequence.

    The turns of one episode are rows of which each begins with all tokens of the one before. A causal model
    gives every trained token the same context in the joined sequence as in its own row, so the summed loss
    and its gradient are the same and the shared tokens are computed once. Order of first appearance is kept.
    """
    kept: dict[int, list[bool]] = {}
    merged: dict[int, list[int]] = {}
    host = -1
    # In dictionary order a row stands right before the rows that it begins, so going backwards the last
    # sequence seen takes it in, if any does.
    for i in sorted(range(len(rows)), key=lambda i: (rows[i].sides[0], -i), reverse=True):
        whole, trained = rows[i].sides[0], rows[i].trained(0)
        fits = host >= 0 and rows[host].sides[0][: len(whole)] == whole
        # A token that is trained twice keeps its weight: a sequence more.
        if not fits or any(map(and_, kept[host], trained)):
            host = i
            kept[i] = [False] * len(whole)
            merged[i] = []
        kept[host][: len(whole)] = map(or_, kept[host], trained)
        merged[host].append(i)
    return tuple(
        Sequenced(rows[host].sides[0], tuple(kept[host]), len(merged[host]))
        for host in sorted(kept, key=lambda host: min(merged[host]))
    )
