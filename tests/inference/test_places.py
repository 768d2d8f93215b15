"""Who gets the next free place, and who waits for which server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import ServerUnreachable
from rro_sdk.inference.limit import FixedLimit
from rro_sdk.inference.places import Places
from rro_sdk.inference.routing import preference
from rro_sdk.inference.server import Server
from rro_sdk.inference.slot import Slot


def slots(count: int, limit: int = 2) -> list[Slot]:
    transport: Any = None
    return [Slot(Server(f"http://s{number}", transport), FixedLimit(limit)) for number in range(count)]


def hashed_to(slot: Slot, among: list[Slot], count: int) -> list[str]:
    names = map(str, range(500))
    return [name for name in names if preference(name, among, lambda one: one.server.url)[0] is slot][:count]


async def living_at(places: Places, slot: Slot, among: list[Slot], count: int = 1) -> list[str]:
    """Prefixes that moved in on this server while all were idle."""
    names = hashed_to(slot, among, count)
    for name in names:
        assert await place_of(places, name) is slot
    return names


async def waiting(places: Places, affinity: str) -> asyncio.Task[Slot]:
    """A call that has begun to wait."""
    call = asyncio.create_task(places.take(affinity))
    await asyncio.sleep(0)
    assert not call.done()
    return call


async def place_of(places: Places, affinity: str) -> Slot:
    slot = await places.take(affinity)
    places.give_back(slot)
    return slot


async def test_a_new_prefix_goes_where_least_is_going_on_and_stays() -> None:
    among = slots(3, limit=8)
    places = Places(among, outage_s=10)
    busy = hashed_to(among[0], among, 2)
    assert await place_of(places, busy[0]) is among[0]
    for _ in range(2):
        assert await places.take(busy[0]) is among[0]
    newcomer = await place_of(places, busy[1])
    assert newcomer is not among[0], "its hash says otherwise"
    for _ in range(3):
        assert await places.take(busy[1]) is newcomer, "it has moved in"


async def fill(places: Places, among: list[Slot]) -> None:
    for _ in range(sum(slot.limit for slot in among)):
        await places.take("")


async def test_a_free_place_goes_to_whoever_waits_for_that_server() -> None:
    among = slots(2)
    places = Places(among, outage_s=10)
    (here,) = await living_at(places, among[0], among)
    (there,) = await living_at(places, among[1], among)
    await fill(places, among)
    first = await waiting(places, here)
    second = await waiting(places, there)
    places.give_back(among[1])
    assert await second is among[1], "though the other came first"
    places.give_back(among[0])
    assert await first is among[0]


async def test_a_server_that_nobody_waits_for_takes_from_the_longest_queue() -> None:
    among = slots(3)
    places = Places(among, outage_s=10)
    (one,) = await living_at(places, among[0], among)
    more = await living_at(places, among[1], among, 3)
    await fill(places, among)
    short = await waiting(places, one)
    long = [await waiting(places, name) for name in more]
    places.give_back(among[2])
    assert await long[0] is among[2]
    assert not short.done()
    for call in (short, *long[1:]):
        call.cancel()


async def test_those_who_wait_for_a_server_that_goes_wait_for_another() -> None:
    among = slots(2)
    places = Places(among, outage_s=10)
    (name,) = await living_at(places, among[0], among)
    await fill(places, among)
    orphan = await waiting(places, name)
    among[0].rest("gone")
    places.changed()
    places.give_back(among[1])
    assert await orphan is among[1]


async def test_a_call_is_not_handed_the_server_that_failed_it_while_there_is_another() -> None:
    among = slots(2, limit=1)
    places = Places(among, outage_s=10)
    await fill(places, among)
    call = asyncio.create_task(places.take("x", {among[0]}))
    await asyncio.sleep(0)
    places.give_back(among[0])
    await asyncio.sleep(0)
    assert not call.done()
    among[1].rest("gone")
    places.changed()
    assert await call is among[0], "it is better than none"


async def test_a_call_that_gives_up_just_when_it_gets_a_place_gives_it_back() -> None:
    among = slots(1, limit=1)
    places = Places(among, outage_s=10)
    await places.take("")
    call = await waiting(places, "x")
    places.give_back(among[0])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert places.taken == 0
    assert await places.take("y") is among[0]


async def test_an_outage_ends_the_waiting_and_one_that_ends_does_not() -> None:
    among = slots(1)
    places = Places(among, outage_s=0.05)
    among[0].rest("it burns")
    places.changed()
    with pytest.raises(ServerUnreachable, match=r"for 0\.05 s \(http://s0: it burns\)"):
        await places.take("x")
    call = await waiting(places, "x")
    among[0].out = None
    places.changed()
    assert await call is among[0]
    await places.take("x")
    late = await waiting(places, "x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(late), 0.2)  # four times the outage limit: no outage any more
    late.cancel()


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["take", "give", "cancel", "go", "come"]), st.integers(0, 30))),
)
def test_places_are_neither_lost_nor_made(count: int, limit: int, moves: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order: nobody is over the limit, nobody waits beside a free place."""

    async def play() -> None:
        among = slots(count, limit)
        places = Places(among, outage_s=60)
        calls: list[asyncio.Task[Slot]] = []
        held: list[Slot] = []
        for move, number in moves:
            if move == "take":
                calls.append(asyncio.create_task(places.take(str(number))))
            elif move == "give" and held:
                places.give_back(held.pop(number % len(held)))
            elif move == "cancel" and calls:
                calls[number % len(calls)].cancel()
            elif move == "go":
                among[number % count].rest("gone")
                places.changed()
            elif move == "come":
                among[number % count].out = None
                places.changed()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            held += [call.result() for call in calls if call.done() and not call.cancelled()]
            calls = [call for call in calls if not call.done()]
            assert [slot.active for slot in among] == [held.count(slot) for slot in among]
            assert places.taken == len(held)
            assert all(slot.active <= slot.limit for slot in among)
            if calls:
                assert all(slot.active == slot.limit for slot in among if slot.usable)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        places.changed()

    asyncio.run(play())
