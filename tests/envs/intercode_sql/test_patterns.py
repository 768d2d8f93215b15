"""REGEXP: what is matched, and what is refused before it can hang."""

from __future__ import annotations

import time

import pytest

from rro_sdk.envs.intercode_sql.patterns import MAX_TEXT, PatternRefused, matches


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a", "Ada", True),
        ("brazil|ireland", "in Brazil", True),
        ("^[rR]epublic", "Federal Republic", False),
        ("[0-9]{3}", "ab123", True),
        (r"\.$", "end.", True),
        ("colou?r", "color", True),
        ("a.*b.*", "xxaxbx", True),
        ("[*+]", "2*3", True),
        ("^https?://.*", "see https://x", False),
        ("a{1,2}?b+?", "aab", True),
    ],
)
def test_matches_anywhere_without_case(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|b)*",
        "(ab){3}",
        "a*b*c*",
        r"(a)\1",
        "(?=a)",
        "(ab)?",
        "[",
        "a" * 101,
        "a{999999999999}",
        "a?" * 33,
        "a?b?c?d?e?x*",
        "a*b*c?d?",
    ],
)
def test_refuses_what_could_take_long_or_cannot_be_read(pattern: str) -> None:
    with pytest.raises(PatternRefused):
        matches(pattern, "aaaa")


@pytest.mark.parametrize("pattern", ["a*a*b", "a*a*a?b", "a?a?a?a?a*b", "a?" * 8 + "a" * 8 + "b"])
def test_the_worst_that_is_allowed_ends_soon(pattern: str) -> None:
    before = time.thread_time()  # of this thread alone, whatever else the machine does
    assert not matches(pattern, "a" * (10 * MAX_TEXT))
    assert time.thread_time() - before < 20
