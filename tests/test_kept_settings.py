"""What is written of settings holds no secret, and a run that needs one asks for it by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk._secrets import holds_secret, kept_options, options_of_run, without_secrets
from rro_sdk.errors import ConfigError

WORDS = st.text("abcxyz019._~-", min_size=1, max_size=8)


def test_named_secrets_and_those_of_urls_are_left_out() -> None:
    given = {
        "api_key": "hunter2",
        "url": "mysql://me:hunter2@127.0.0.1:3306/shop",
        "more": {"urls": ["http://me:hunter2@127.0.0.1"], "password": "hunter2"},
        "max_steps": 3,
        "api_token": 7,
        "note": "me@home, 3://",
    }
    assert without_secrets(given) == {
        "url": "mysql://127.0.0.1:3306/shop",
        "more": {"urls": ["http://127.0.0.1"]},
        "max_steps": 3,
        "api_token": 7,
        "note": "me@home, 3://",
    }


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://db/x?user=u&password=hunter2", "postgresql://db/x?user=u&"),
        (
            "postgresql://db/x?sslPassword=hunter2&max_tokens=3&monkey=b",
            "postgresql://db/x?&max_tokens=3&monkey=b",
        ),
        ("http://h/x?api_key=hunter2#top", "http://h/x?#top"),
        ("host=db user=u password=hunter2 port=3", "host=db user=u  port=3"),
        ("postgresql://u:hunter/2@host:5432/db", "postgresql://host:5432/db"),
        ("http://[::1]:8000/a@b", "http://[::1]:8000/a@b"),
        ("http://h:80/a@b?c=d@e", "http://h:80/a@b?c=d@e"),
    ],
)
def test_a_secret_within_a_text(text: str, kept: str) -> None:
    assert without_secrets(text) == kept
    assert holds_secret(text) == (kept != text)


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
