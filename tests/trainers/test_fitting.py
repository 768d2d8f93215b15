from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import DataError
from trainers.fitting import Encoded, choose, common_prefix, encode, fit, fold_continuations, problem
from trainers.rows import Row

ids = st.lists(st.integers(0, 2), max_size=6).map(tuple)


def said(*texts: str) -> tuple[dict[str, str], ...]:
    roles = ("assistant", "user")
    return tuple({"role": roles[i % 2], "content": text} for i, text in enumerate(texts))


def row(line: int = 1) -> Row:
    return Row(line, ({"role": "user", "content": "q"},), (said("a"),))


def encoded(prompt: tuple[int, ...], *sides: tuple[int, ...], line: int = 1) -> Encoded:
    return Encoded(row(line), prompt, sides)


def test_encode_asks_the_template_for_the_prompt_and_for_each_whole_side() -> None:
    def template(messages: list[dict[str, str]], add_generation_prompt: bool) -> list[int]:
        text = "".join(m["content"] for m in messages) + (">" if add_generation_prompt else "")
        return [ord(letter) for letter in text]

    pair = Row(1, ({"role": "user", "content": "q"},), (said("a"), said("b")))
    found = encode(pair, template, "dpo")
    assert found.prompt == (ord("q"), ord(">"))
    assert found.sides == ((ord("q"), ord("a")), (ord("q"), ord("b")))


def test_a_row_with_nothing_to_learn_from_is_left_out_unread() -> None:
    blank = dataclasses.replace(row(2), problem="completion is blank")
    never = encode(blank, lambda messages, opening: 1 / 0, "sft")  # type: ignore[arg-type,return-value]
    kept, left_out = fit([encoded((1,), (1, 2)), never], 9, "sft", allow_drop=True, name="f")
    assert [each.row.line for each in kept] == [1]
    assert [(each.line, each.reason) for each in left_out] == [(2, "completion is blank")]
    with pytest.raises(DataError, match=r"no row is left to train on; .* or give other rows"):
        fit([never], 9, "sft", allow_drop=True, name="f")


def test_only_the_actions_of_a_trajectory_are_trained() -> None:
    def template(messages: list[dict[str, str]], add_generation_prompt: bool) -> list[int]:
        text = "".join(f"{m['role'][0]}{m['content']}." for m in messages)
        return [ord(letter) for letter in text + ("a" if add_generation_prompt else "")]

    row = Row(1, ({"role": "user", "content": "q"},), (said("go", "left", "end"),))
    found = encode(row, template, "sft")
    whole = "uq.ago.uleft.aend."
    assert found.sides == (tuple(map(ord, whole)),)
    trained = "".join(letter for letter, on in zip(whole, found.trained(0), strict=True) if on)
    assert trained == "go.end."
    assert problem(found, 99, "sft") is None
    (folded,) = fold_continuations([found])
    assert folded.trained == found.trained(0)


def test_a_template_that_rewrites_earlier_turns_is_a_problem() -> None:
    def template(messages: list[dict[str, str]], add_generation_prompt: bool) -> list[int]:
        places = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        texts = ["-" if i in places[:-1] else m["content"] for i, m in enumerate(messages)]
        return [ord(letter) for letter in ".".join(texts) + (".>" if add_generation_prompt else "")]

    row = Row(1, ({"role": "user", "content": "q"},), (said("go", "left", "end"),))
    found = dataclasses.replace(encode(row, template, "sft"), prompt=tuple(map(ord, "q.")))
    assert "earlier turns of completion" in (problem(found, 99, "sft") or "")


@pytest.mark.parametrize(
    ("sample", "limit", "says"),
    [
        (encoded((1, 2), (1, 2, 3, 4)), 4, None),
        (encoded((1, 2), (1, 2, 3, 4)), 3, "2 prompt + 2 completion = 4 tokens, over max_length 3"),
        (encoded((1, 2), (1, 9, 3)), 9, "writes the prompt differently before completion (from its token 2)"),
        (encoded((1, 2), (1,)), 9, "writes the prompt differently"),
        (encoded((1, 2), (1, 2)), 9, "adds no token"),
    ],
)
def test_problems_of_an_sft_row(sample: Encoded, limit: int, says: str | None) -> None:
    found = problem(sample, limit, "sft")
    assert found is None if says is None else found is not None and says in found


def test_problems_of_a_pair() -> None:
    assert problem(encoded((1,), (1, 2), (1, 3)), 2, "dpo") is None
    assert "rejected = 3 tokens" in (problem(encoded((1,), (1, 2), (1, 3, 3)), 2, "dpo") or "")
    assert problem(encoded((1,), (1, 2), (1, 2)), 2, "dpo") == "chosen and rejected are the same tokens"


def test_rows_that_do_not_fit_are_an_error_or_counted() -> None:
    rows = [encoded((1,), (1, 2), line=4), encoded((1,), (1, 2, 3), line=7)]
    with pytest.raises(DataError, match=r"f: 1 of 2 rows do not fit: line 7: .* --allow-drop"):
        fit(rows, 2, "sft", allow_drop=False, name="f")
    kept, left_out = fit(rows, 2, "sft", allow_drop=True, name="f")
    assert kept == (rows[0],)
    assert [item.line for item in left_out] == [7]
    with pytest.raises(DataError, match="no row is left"):
        fit(rows, 1, "sft", allow_drop=True, name="f")


def test_only_the_first_few_rows_are_spelled_out() -> None:
    rows = [encoded((1,), (1, 2, 3), line=i) for i in range(1, 9)]
    with pytest.raises(DataError, match=r"8 of 8 .* line 5: .*; and 3 more"):
        fit(rows, 2, "sft", allow_drop=False, name="f")


@given(ids, ids)
def test_common_prefix(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    length = common_prefix(left, right)
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


@given(st.integers(1, 20), st.one_of(st.none(), st.integers(1, 30)), st.randoms())
def test_choose(count: int, wanted: int | None, random: object) -> None:
    order = list(range(count))
    random.shuffle(order)  # type: ignore[attr-defined]
    found = choose(count, wanted, order)
    assert len(set(found)) == len(found) == min(count, wanted or count)
    assert set(found) <= set(range(count))


@given(st.lists(st.tuples(ids, ids.filter(len)), max_size=12))
def test_folding_keeps_every_trained_token_with_its_context(
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]],
) -> None:
    rows = [encoded(prompt, prompt + completion) for prompt, completion in pairs]
    before = Counter(row.sides[0][: i + 1] for row in rows for i in range(len(row.prompt), len(row.sides[0])))
    folded = fold_continuations(rows)
    after = Counter(s.ids[: i + 1] for s in folded for i, trained in enumerate(s.trained) if trained)
    assert after == before
    assert sum(s.rows for s in folded) == len(rows)
    assert len(folded) <= len(rows)


def test_the_turns_of_an_episode_become_one_sequence() -> None:
    turns = [encoded((1,), (1, 2)), encoded((1, 2, 3), (1, 2, 3, 4)), encoded((9,), (9, 8))]
    first, second = fold_continuations(turns)
    assert (first.ids, first.trained, first.rows) == ((1, 2, 3, 4), (False, True, False, True), 2)
    assert (second.ids, second.rows) == ((9, 8), 1)
    assert len(fold_continuations([turns[0], turns[0]])) == 2, "a row given twice weighs twice"
