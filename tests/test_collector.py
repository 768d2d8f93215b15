"""The collector's thresholds are raised for a block and put back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from rro_sdk.collector import NEW_OBJECTS, fewer_collections
from rro_sdk.errors import ConfigError


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_the_thresholds_are_raised_and_put_back_also_after_an_error() -> None:
    with pytest.raises(KeyError), fewer_collections():
        assert gc.get_threshold() == (NEW_OBJECTS, 10, 10)
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(80_000, 5, 5), (0, 10, 10)])
def test_what_somebody_set_higher_or_switched_off_stays(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with fewer_collections():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_none_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"), fewer_collections(0):
        pass
