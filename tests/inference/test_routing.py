"""Who gets a request: the choice is a pure function of the slots."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.inference.fleet import FleetSettings, _Slot, choose_slot
from rro_sdk.inference.server import Server


def slots(*active: int, limit: int = 4) -> list[_Slot]:
    made = []
    for number, count in enumerate(active):
        transport: Any = None
        slot = _Slot(Server(f"http://s{number}", transport), FleetSettings(concurrency=limit))
        slot.active = count
        made.append(slot)
    return made


@given(st.text(min_size=1), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_never_over_the_limit_and_none_only_when_all_are_full(affinity: str, active: list[int]) -> None:
    found = choose_slot(slots(*active), affinity, set(), 0.0)
    if all(count == 4 for count in active):
        assert found is None
    else:
        assert found is not None
        assert found.active < found.limit


@given(st.text(min_size=1))
def test_one_affinity_stays_on_one_server_while_it_has_room(affinity: str) -> None:
    first = choose_slot(slots(0, 0, 0), affinity, set(), 0.0)
    again = choose_slot(slots(3, 3, 3), affinity, set(), 0.0)
    assert first is not None
    assert again is not None
    assert first.server.url == again.server.url


@given(st.text(min_size=1))
def test_a_server_that_leaves_moves_only_its_own_prefixes(affinity: str) -> None:
    before = choose_slot(slots(0, 0, 0), affinity, set(), 0.0)
    after = choose_slot(slots(0, 0), affinity, set(), 0.0)
    assert before is not None
    assert after is not None
    if before.server.url != "http://s2":
        assert after.server.url == before.server.url


def test_spills_to_the_server_with_most_room() -> None:
    full = slots(4, 4, 4)
    home = choose_slot(slots(0, 0, 0), "a", set(), 0.0)
    assert home is not None
    others = [slot for slot in full if slot.server.url != home.server.url]
    others[0].active, others[1].active = 3, 1
    assert choose_slot(full, "a", set(), 0.0) is others[1]


def test_a_server_that_failed_this_call_or_rests_is_asked_last() -> None:
    three = slots(0, 0, 0)
    three[0].rests_until = 10.0
    failed = {"http://s1"}
    assert choose_slot(three, "", failed, now=5.0) is three[2]
    assert choose_slot(three[:2], "", failed, now=5.0) is three[0], "resting is better than failed"
    assert choose_slot(three[1:2], "", failed, now=5.0) is three[1], "and failed is better than none"
    assert choose_slot(three[:1], "", set(), now=10.0) is three[0]
