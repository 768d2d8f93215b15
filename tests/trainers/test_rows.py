from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import ConfigError, DataError
from trainers.rows import file_sha256, parse_rows, read_rows

from .conftest import message, pair_rows, sft_rows, write_rows

GOOD = pair_rows(1)[0]


def parse(*rows: object, method: Any = "dpo") -> Any:
    return parse_rows("".join(json.dumps(row) + "\n" for row in rows).encode(), "f.jsonl", method)


def test_pairs_keep_line_numbers_and_give_trl_its_columns() -> None:
    rows = parse_rows(b"\n" + json.dumps(GOOD).encode() + b"\n", "f", "dpo")
    assert [row.line for row in rows] == [2]
    assert rows[0].columns("dpo") == {side: GOOD[side] for side in ("prompt", "chosen", "rejected")}


def test_sft_rows() -> None:
    row = sft_rows(1)[0]
    assert parse(row, method="sft")[0].columns("sft") == row


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prompt": None}, "has no prompt"),
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": "text"}, "prompt must be a list"),
        ({"prompt": ["text"]}, r"prompt\[0\] must be an object"),
        ({"prompt": [message("tool", "x")]}, r"prompt\[0\].role"),
        ({"prompt": [{"role": "user"}]}, r"prompt\[0\].content"),
        ({"prompt": [message("assistant", "x")]}, "prompt ends with an assistant"),
        ({"chosen": "text"}, "chosen must be a list"),
        ({"chosen": []}, "chosen must be one action"),
        ({"chosen": [message("user", "x")]}, "chosen must be one action"),
        ({"rejected": [message("assistant", "x"), message("user", "o")]}, "rejected must be one action"),
        ({"rejected": [message("assistant", " ")]}, "rejected is blank"),
        ({"rejected": GOOD["chosen"]}, "same text"),
    ],
)
def test_a_wrong_row_is_named_by_line_and_field(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=rf"^f\.jsonl line 2:? .*{says.removeprefix('has no')}") as caught:
        parse(GOOD, {**GOOD, **change})
    assert caught.value.exit_code == 2


TRAJECTORY = [message("assistant", "go"), message("user", "left"), message("assistant", "end")]


def test_a_side_may_be_a_trajectory() -> None:
    (row,) = parse({**GOOD, "chosen": TRAJECTORY})
    assert row.columns("dpo")["chosen"] == TRAJECTORY
    blank = [*TRAJECTORY[:2], message("assistant", " ")]
    with pytest.raises(DataError, match="line 1: chosen is blank"):
        parse({**GOOD, "chosen": blank})


def test_rows_with_nothing_to_learn_from_are_noted_where_they_may_be_left_out() -> None:
    rows = [GOOD, {**GOOD, "rejected": [message("assistant", " ")]}, {**GOOD, "rejected": GOOD["chosen"]}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    for method in ("dpo", "reward", "kto"):
        found = parse_rows(content, "f", method, allow_drop=True)  # type: ignore[arg-type]
        said = {row.line: row.problem for row in found}
        assert said[1] is None
        assert (said[2], (said[3] or "")[:39]) == (
            "rejected is blank",
            "chosen and rejected are the same text: t"[:39],
        )
    with pytest.raises(DataError, match="line 2: rejected is blank; leave it out, as --allow-drop does"):
        parse_rows(content, "f", "dpo")


def test_tools_are_not_passed_over() -> None:
    with pytest.raises(DataError, match="line 1 has tools, which would be left out of the prompt"):
        parse({**GOOD, "tools": json.dumps([{"type": "function"}])})
    assert parse({**GOOD, "tools": None})


def test_kto_takes_labelled_completions_and_pairs() -> None:
    labelled = {**sft_rows(1)[0], "label": False}
    (row,) = parse(labelled, method="kto")
    assert row.columns("kto") == labelled
    good, bad = parse({**GOOD, "weight_version": "v7"}, method="kto")
    assert (good.label, bad.label, good.line, bad.line) == (True, False, 1, 1)
    assert [*good.sides, *bad.sides] == [tuple(GOOD["chosen"]), tuple(GOOD["rejected"])]
    assert good.weight_version == "v7"
    with pytest.raises(DataError, match="label must be true or false"):
        parse({**labelled, "label": 1}, method="kto")


def test_reward_takes_conversations_and_pairs_with_their_margin() -> None:
    whole = {side: [*GOOD["prompt"], *GOOD[side]] for side in ("chosen", "rejected")}
    (split,) = parse({**whole, "margin": 0.5}, method="reward")
    (pair,) = parse({**GOOD, "chosen_reward": 0.75, "rejected_reward": 0.25}, method="reward")
    assert split == pair
    assert split.columns("reward") == {
        **{side: GOOD[side] for side in ("prompt", "chosen", "rejected")},
        "margin": 0.5,
    }
    (plain,) = parse(whole, method="reward")
    assert "margin" not in plain.columns("reward")
    same_first = {
        **whole,
        "chosen": [*GOOD["prompt"], *TRAJECTORY],
        "rejected": [*GOOD["prompt"], TRAJECTORY[0]],
    }
    (kept,) = parse(same_first, method="reward")
    assert kept.prompt == tuple(GOOD["prompt"]), "an action and what follows it stay together"
    with pytest.raises(DataError, match="margin must be a number"):
        parse({**whole, "margin": "wide"}, method="reward")


def test_a_torn_last_line_says_so() -> None:
    whole = json.dumps(GOOD).encode() + b"\n"
    with pytest.raises(DataError, match=r"f line 2 is not valid JSON: it was cut off"):
        parse_rows(whole + whole[:-20], "f", "dpo")
    with pytest.raises(DataError, match=r"f line 1 is not valid JSON: export again"):
        parse_rows(whole[:-20] + b"\n" + whole, "f", "dpo")


@given(st.integers(1, len(json.dumps(GOOD)) - 1))
def test_no_cut_of_a_row_passes(length: int) -> None:
    with pytest.raises(DataError, match="line 1"):
        parse_rows(json.dumps(GOOD).encode()[:length], "f", "dpo")


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file(content: bytes) -> None:
    with pytest.raises(DataError, match="f is empty"):
        parse_rows(content, "f", "sft")


def test_not_an_object() -> None:
    with pytest.raises(DataError, match="not a JSON object"):
        parse([1])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[" * 200_000 + b"]" * 200_000, "is nested too deeply"),
        (json.dumps({**GOOD, "margin": 10**400}).encode(), "margin must be a number of ordinary size"),
        (
            json.dumps({**GOOD, "chosen_reward": -(10**400)}).encode(),
            "rejected_reward must be numbers of ord",
        ),
        (
            json.dumps({**GOOD, "chosen_reward": 1e308, "rejected_reward": -1e308}).encode(),
            "rejected_reward must be numbers of ordinary size",
        ),
    ],
    ids=["nested", "margin", "reward", "difference"],
)
def test_what_python_cannot_hold_is_named_by_its_line(line: bytes, says: str) -> None:
    with pytest.raises(DataError, match=rf"^f line 2:? .*{says}"):
        parse_rows(json.dumps(GOOD).encode() + b"\n" + line + b"\n", "f", "reward")


def test_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_rows(tmp_path / "none.jsonl", "sft")
    path = write_rows(tmp_path / "d.jsonl", sft_rows(3))
    assert len(read_rows(path, "sft")) == 3
    assert len(file_sha256(path)) == 64


def test_error_texts_hold_no_content() -> None:
    secret = "the prompt's text"
    with pytest.raises(DataError) as caught:
        parse({"prompt": [message("user", secret)], "chosen": [message("user", secret)]})
    assert secret not in str(caught.value)
