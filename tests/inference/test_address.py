from __future__ import annotations

import pytest

from rro_sdk.errors import ConfigError
from rro_sdk.inference.address import normalise, normalise_all


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://127.0.0.1:30000", "http://127.0.0.1:30000"),
        ("http://127.0.0.1:30000/", "http://127.0.0.1:30000"),
        (" http://localhost:1/v1 ", "http://localhost:1"),
        ("https://host.example/base/v1/", "https://host.example/base"),
        ("http://[::1]:30000", "http://[::1]:30000"),
    ],
)
def test_normalise(given: str, expected: str) -> None:
    assert normalise(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "127.0.0.1:30000",
        "ftp://host:1",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://h:1/?a=1",
    ],
)
def test_addresses_that_cannot_be_right_are_refused(given: str) -> None:
    with pytest.raises(ConfigError):
        normalise(given)


def test_credentials_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="holds credentials") as caught:
        normalise("http://user:hunter2@host:1")
    assert "hunter2" not in str(caught.value)


def test_none_duplicates_and_a_bare_string_are_refused() -> None:
    with pytest.raises(ConfigError, match="no server given"):
        normalise_all([])
    with pytest.raises(ConfigError, match="http://h:1 is given twice"):
        normalise_all(["http://h:1", "http://h:1/v1"])
    with pytest.raises(ConfigError, match="list of URLs"):
        normalise_all("http://h:1")
