from __future__ import annotations

import inspect
import pickle

import pytest

from rro_sdk import errors

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.RROError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_pickles_with_its_message(kind: type[errors.RROError]) -> None:
    error = kind("what went wrong")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "what went wrong"


def test_server_errors_keep_where_and_why() -> None:
    error = errors.ServerRefused("no", url="http://h:1", status=429, retry_after=2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.url, copy.status, copy.retry_after) == ("http://h:1", 429, 2.0)


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not errors.RROError])
def test_each_is_a_standard_type_too(kind: type[errors.RROError]) -> None:
    standard = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert {base.__name__ for base in standard} - {"Exception", "BaseException", "object"}


def test_the_tree_in_the_docstring_names_every_class() -> None:
    for kind in CLASSES:
        assert kind.__name__ in (errors.__doc__ or "")
        assert kind.__name__ in errors.__all__
