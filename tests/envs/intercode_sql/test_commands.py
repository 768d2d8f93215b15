"""What a command asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.envs.intercode_sql.commands import MAX_CHARACTERS, Skip, Statement, Submit, printable, read


@pytest.mark.parametrize(
    "command", ["submit", " Submit \n", "SUBMIT;", "submit.", "submit[]", "```\nsubmit\n```"]
)
def test_submit(command: str) -> None:
    assert read(command) == Submit()


@pytest.mark.parametrize("command", ["skip", "Skip.", "execute[skip]"])
def test_skip(command: str) -> None:
    assert read(command) == Skip()


@pytest.mark.parametrize(
    "command",
    [
        "SELECT 1",
        "\nSELECT 1 ",
        "```sql\nSELECT 1\n```",
        "```SQL\nSELECT 1```",
        "```\nSELECT 1\n```",
        "```sql SELECT 1```",
        "```SELECT 1```",
        "```mysql\nSELECT 1",
        "Here it is:\n```sql\nSELECT 1\n```\nThat was it.",
        "```sql\nSELECT 1\n```\n```sql\nSELECT 2\n```",
        "execute[SELECT 1]",
        "Execute[SELECT 1",
    ],
)
def test_one_statement_in_many_clothes(command: str) -> None:
    assert read(command) == Statement("SELECT 1")


def test_brackets_inside_belong_to_the_statement() -> None:
    assert read("execute[SELECT '[x]']") == Statement("SELECT '[x]'")


@pytest.mark.parametrize("command", ["submit the answer", "skipping", "I submit", ""])
def test_a_word_more_is_a_statement(command: str) -> None:
    assert read(command) == Statement(command)


@given(st.text(alphabet=st.characters(), max_size=200))
def test_any_text_is_read_and_can_be_encoded(command: str) -> None:
    asked = read(command)
    if isinstance(asked, Statement):
        asked.text.encode("utf-8")
        assert "\0" not in asked.text


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc"))))
def test_printable_leaves_plain_text_alone(text: str) -> None:
    assert printable(text) == text


def test_a_huge_command_is_cut() -> None:
    asked = read("x" * 1_000_000)
    assert isinstance(asked, Statement)
    assert len(asked.text) == MAX_CHARACTERS
