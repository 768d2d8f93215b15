"""What is written of settings holds no secret, and a run that needs one asks for it by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk._secrets import MASK, holds_secret, kept_options, options_of_run, without_secrets
from rro_sdk.errors import ConfigError

WORDS = st.text("abcxyz019._~-", min_size=1, max_size=8)


def test_named_secrets_and_those_of_urls_are_left_out() -> None:
    given = {
        "api_key": "hunter2",
        "url": "mysql://me:hunter2@127.0.0.1:3306/shop",
        "more": {"urls": ["http://me:hunter2@127.0.0.1"], "password": "hunter2"},
        "max_steps": 3,
        "api_token": 7,
        "accessToken": ["hunter2"],
        "copy_key": True,
        "note": "me@home, 3://",
        "style": "Reply as key=value; token=x",
    }
    assert without_secrets(given) == {
        "url": "mysql://127.0.0.1:3306/shop",
        "more": {"urls": ["http://127.0.0.1"]},
        "max_steps": 3,
        "copy_key": True,
        "note": "me@home, 3://",
        "style": "Reply as key=value; token=x",
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://db/x?user=u&password=hunter2", MASK),
        ("postgresql://db/x?sslPassword=hunter2&max_tokens=3", MASK),
        ("http://h/x?api_key=hunter2#top", MASK),
        ("host=db user=u password='hunter 2' port=3", MASK),
        ("Server=db;AccountKey=hunter2", MASK),
        ("postgresql://u:hunter/2@host:5432/db", MASK),
        ("mysql://u:12/3@h", MASK),
        ("mysql://u:hunter#2@h:3306/x", "mysql://h:3306/x"),
        ("mysql://u:hunter?2@h", "mysql://h"),
        ("mysql://u:hunter;2,3@h", "mysql://h"),
        ("http://h1,http://u:hunter2@h2", MASK),
        ("mysql://a:hunter1@h1,mysql://c:hunter2@h2", MASK),
        ("mysql://root:hunter2@h:3306/x", "mysql://h:3306/x"),
        ("https://hunter2@h/x", "https://h/x"),
    ],
)
def test_a_secret_within_a_text(text: str, kept: str) -> None:
    assert without_secrets(text) == kept
    assert kept_options([f"url={text}"]) == {"env_option": [], "env_option_secret": ["url"]}


@pytest.mark.parametrize(
    "text",
    [
        "http://[::1]:8000/a",
        "http://h/a@b?c=d@e",
        "http://h:80/a?max_tokens=3&monkey=b",
        "Reply as key=value; token=x",
        "no key = no door",
        "host=db port=3",
        "a=b",
        "a=  " * 60 + "'",  # a pattern that goes back would not end
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text
    assert not holds_secret(text)
    assert kept_options([f"url={text}"]) == {"env_option": [f"url={text}"], "env_option_secret": []}


@given(user=WORDS, password=WORDS, host=WORDS, path=WORDS)
def test_a_url_loses_its_password_alone(user: str, password: str, host: str, path: str) -> None:
    assert without_secrets(f"http://{user}:{password}@{host}/{path}@{path}") == f"http://{host}/{path}@{path}"
    assert without_secrets(f"http://{host}/{path}@{path}") == f"http://{host}/{path}@{path}"


@pytest.mark.parametrize("option", ["api_key=hunter2", "Api-Key=hunter2", "url=mysql://a:hunter2@h"])
def test_a_run_does_not_keep_it(option: str) -> None:
    assert holds_secret(option)
    assert "hunter2" not in str(kept_options([option]))


def test_a_run_asks_for_what_it_does_not_keep() -> None:
    made = kept_options(["max_steps=3", "api_key=hunter2"])
    assert made["env_option"] == ["max_steps=3"]
    with pytest.raises(ConfigError, match=r"keep the environment's api_key; give it again: -e api_key="):
        options_of_run(made, ["max_steps=4"])
    assert options_of_run(made, ["api-key=again"]) == ("max_steps=3", "api-key=again")


def test_a_run_of_an_earlier_version_names_none() -> None:
    assert options_of_run({"env_option": ["max_steps=3"]}, []) == ("max_steps=3",)
