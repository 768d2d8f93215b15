"""How many requests a server gets at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.inference.limit import HOLD, FixedLimit, LatencyLimit, Load, LoadLimit

loads = st.builds(
    Load,
    running=st.integers(0, 4096),
    waiting=st.integers(0, 4096),
    kv_used=st.floats(0, 1),
    slots=st.none() | st.integers(1, 4096),
)


@given(st.integers(1, 1024), st.lists(st.tuples(loads, st.booleans())))
def test_a_load_limit_stays_within_its_bounds(start: int, looks: list[tuple[Load, bool]]) -> None:
    limit = LoadLimit(start, highest=1024)
    for load, reached in looks:
        limit = limit.seen(load, reached=reached)
        assert 1 <= limit.value <= 1024
    assert 1 <= limit.refused().value <= limit.value


@given(loads)
def test_a_limit_that_holds_nobody_back_is_not_raised(load: Load) -> None:
    assert LoadLimit(64).seen(load, reached=False).value <= 64


def server(limit: int, slots: int) -> Load:
    """What a server of so many slots says when `limit` requests are in flight."""
    return Load(running=min(limit, slots), waiting=max(0, limit - slots), slots=slots)


@given(st.integers(1, 512), st.integers(1, 512))
def test_a_load_limit_settles_where_all_slots_are_busy_and_the_queue_is_short(slots: int, start: int) -> None:
    limit = LoadLimit(start)
    for _ in range(64):
        limit = limit.seen(server(limit.value, slots), reached=True)
    assert limit.seen(server(limit.value, slots), reached=True) == limit, "it has settled"
    load = server(limit.value, slots)
    assert load.running == slots
    assert load.waiting <= 2 * max(2, slots // 8)


def test_a_load_limit_finds_the_slots_that_a_server_does_not_tell() -> None:
    limit = LoadLimit()
    for _ in range(64):
        load = server(limit.value, 300)
        limit = limit.seen(Load(load.running, load.waiting), reached=True)
        if limit.value > 300:
            break
    assert 300 <= limit.value <= 375


def test_a_full_cache_with_a_queue_lowers_it() -> None:
    full = Load(running=100, waiting=5, kv_used=0.99)
    assert LoadLimit(100).seen(full, reached=True).value == 90
    assert LoadLimit(100).seen(Load(100, 0, 0.99), reached=True).value == 125, "nobody waits for it"


def seconds(limit: int, knee: int) -> float:
    """A token's latency on a server whose batches cost nothing more up to `knee` requests, then wait."""
    return 0.01 * max(1.0, limit / knee)


@given(st.integers(16, 800))
def test_a_latency_limit_climbs_to_the_knee_and_stays_near(knee: int) -> None:
    limit = LatencyLimit()
    values = []
    for _ in range(200):
        limit = limit.seen(seconds(limit.value, knee), reached=True)
        values.append(limit.value)
    assert 0.8 * knee <= min(values[100:])
    assert max(values[100:]) <= 1.6 * knee + 1


def test_a_latency_limit_that_is_not_reached_learns_nothing() -> None:
    assert LatencyLimit(40).seen(1.0, reached=False) == LatencyLimit(40)


def test_a_raise_that_was_no_use_is_taken_back_and_not_tried_again_at_once() -> None:
    raised = LatencyLimit(40).seen(1.0, reached=True)
    assert raised.value == 50
    back = raised.seen(1.25, reached=True)
    assert back.value == 40
    for _ in range(HOLD - 1):
        back = back.seen(1.0, reached=True)
        assert back.value == 40
    assert back.seen(1.0, reached=True).value == 50


def test_refusals_halve_and_a_number_that_was_given_stays() -> None:
    assert LoadLimit(100).refused().value == 50
    assert LatencyLimit(100).refused().value == 50
    assert LatencyLimit(1).refused().value == 1
    assert FixedLimit(7).refused().value == 7
