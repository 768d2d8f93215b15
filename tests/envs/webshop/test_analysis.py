"""Index terms as Lucene's English analysis gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.envs.webshop.analysis import LONGEST_TOKEN, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Women's running shoes, the", ["women", "run", "shoe"]),
        ("Sara’s can't", ["sara", "can't"]),
        ('3.5mm 6,000 16" x 16"', ["3.5mm", "6,000", "16", "x", "16"]),
        ("wi-fi a_b __ N\\C", ["wi", "fi", "a_b", "n", "c"]),
        ("size:large weight:41", ["size:larg", "weight", "41"]),
        ("★ best ® 👍🏽 👨‍👩‍👧 ✿", ["★", "best", "®", "👍🏽", "👨‍👩‍👧"]),
        ("日本 カタカナ ひら", ["日", "本", "カタカナ", "ひ", "ら"]),
        ("ขาวดำ café", ["ขาวดำ", "café"]),
        ("", []),
        ("\x00\x01 \u200b — …", []),
    ],
)
def test_terms(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_long_tokens_are_cut() -> None:
    assert [len(term) for term in terms("q" * 600)] == [LONGEST_TOKEN, LONGEST_TOKEN, 600 - 2 * LONGEST_TOKEN]


@given(st.text(max_size=40), st.text(max_size=40))
def test_nothing_joins_across_white_space(one: str, other: str) -> None:
    assert terms(f"{one} {other}") == terms(one) + terms(other)
