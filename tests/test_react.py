from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.prompts import react
from rro_sdk.types import Action, Observation, Step


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("Thought: count\nAction: SELECT 1", "SELECT 1"),
        ("Action:submit", "submit"),
        ("Thought: x\nAction: \n```sql\nSHOW TABLES\n```", "```sql\nSHOW TABLES\n```"),
        ("Action: say Action: twice", "say Action: twice"),
    ],
)
def test_the_command_is_all_after_the_first_action(text: str, command: str) -> None:
    assert react.parse(text, "stop") == Action(text, command)


@pytest.mark.parametrize(
    ("text", "finish", "says"),
    [
        ("Thought: hm", "stop", 'no "Action:"'),
        ("", "stop", 'no "Action:"'),
        ("Action:   \n", "stop", "nothing after"),
        ("Action: SELECT", "length", "too long"),
    ],
)
def test_what_cannot_be_read_says_why_and_keeps_the_text(text: str, finish: str, says: str) -> None:
    action = react.parse(text, finish)
    assert action.command is None
    assert action.error is not None
    assert says in action.error
    assert action.text == text


@given(st.text(), st.sampled_from(["stop", "length"]))
def test_never_raises_and_keeps_the_reply_verbatim(text: str, finish: str) -> None:
    action = react.parse(text, finish)
    assert action.text == text
    assert (action.command is None) == (action.error is not None)


def test_a_turn_goes_into_the_history_verbatim() -> None:
    step = Step(Action("Thought: a\nAction: b", "b"), Observation("[(1,)]"))
    assistant, user = react.turn_messages(step)
    assert (assistant.role, assistant.content) == ("assistant", "Thought: a\nAction: b")
    assert (user.role, user.content) == ("user", "Observation: [(1,)]")
