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
        ("HTTP://Host.Example:80/", "http://host.example"),
        ("https://host.example:443", "https://host.example"),
        ("https://host.example:80", "https://host.example:80"),
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
        "http://host:0",
        "grpc://host:1",
        "file:///etc/hosts",
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


@pytest.mark.parametrize(
    "given",
    [
        "http://user:hunter2@host:port",
        "http://:hunter2@host:1",
        "http://hunter2@host:1",
        "ftp://user:hunter2@host:1",
        "hunter2:x@host:1",
        "user:hunter2@host:1",
        "http://host:hunter2",
        "http://host:1/?key=hunter2",
        "http://host:1/#hunter2",
    ],
)
def test_no_refusal_repeats_what_may_be_a_secret(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        normalise(given)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(ConfigError, match="not grpc://"):
        normalise("grpc://host:1")


def test_none_duplicates_and_a_bare_string_are_refused() -> None:
    with pytest.raises(ConfigError, match="no server given"):
        normalise_all([])
    with pytest.raises(ConfigError, match="http://h:1 is given twice"):
        normalise_all(["http://h:1", "http://h:1/v1"])
    with pytest.raises(ConfigError, match="http://h is given twice"):
        normalise_all(["http://H:80", "http://h/"])
    with pytest.raises(ConfigError, match="list of URLs"):
        normalise_all("http://h:1")
