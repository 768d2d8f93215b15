"""Who gets a request: the choice is a pure function of what each server has in flight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.inference.routing import choose, common_version, least_loaded, preference


@dataclass
class Server:
    name: str
    active: int = 0
    limit: int = 8


def servers(*active: int, limit: int = 8) -> list[Server]:
    return [Server(f"http://s{number}", count, limit) for number, count in enumerate(active)]


def order(affinity: str, among: list[Server]) -> tuple[Server, ...]:
    return preference(affinity, among, lambda server: server.name)


def chosen(affinity: str, among: list[Server]) -> Server | None:
    active = sum(server.active for server in among)
    return choose(order(affinity, among), active, sum(server.limit for server in among))


@given(st.text(min_size=1), st.lists(st.integers(0, 8), min_size=1, max_size=6))
def test_never_over_the_limit_and_none_only_when_all_are_full(affinity: str, active: list[int]) -> None:
    found = chosen(affinity, servers(*active))
    if all(count == 8 for count in active):
        assert found is None
    else:
        assert found is not None
        assert found.active < found.limit


@given(st.text(min_size=1), st.integers(0, 3))
def test_one_affinity_stays_on_one_server_while_it_is_less_than_half_full(affinity: str, load: int) -> None:
    home = order(affinity, servers(0, 0, 0))[0].name
    among = servers(0, 0, 0)
    next(server for server in among if server.name == home).active = load
    found = chosen(affinity, among)
    assert found is not None
    assert found.name == home


@given(st.text(min_size=1))
def test_a_full_home_spills_to_the_next_of_its_own_order(affinity: str) -> None:
    among = servers(4, 4, 4)
    first, second, _ = order(affinity, among)
    first.active = first.limit
    assert chosen(affinity, among) is second


@given(st.lists(st.text(min_size=1), min_size=1, max_size=64, unique=True))
def test_no_server_is_swamped_while_others_idle(affinities: list[str]) -> None:
    """Bounded loads: past half of its limit, nobody has more than a quarter above its fair share."""
    among = servers(0, 0, 0, 0, limit=32)
    for affinity in affinities:
        found = chosen(affinity, among)
        assert found is not None
        found.active += 1
    fair = sum(server.active for server in among) / len(among)
    assert all(server.active <= max(16, 1.25 * fair + 1) for server in among)


@given(st.text(min_size=1))
def test_a_server_that_leaves_moves_only_its_own_prefixes(affinity: str) -> None:
    three = servers(0, 0, 0)
    before = [server.name for server in order(affinity, three)]
    after = [server.name for server in order(affinity, three[:2])]
    assert after == [name for name in before if name != "http://s2"]


def test_prefixes_spread_evenly() -> None:
    among = servers(0, 0, 0, 0)
    homes = Counter(order(f"task {number}", among)[0].name for number in range(4000))
    assert all(850 < count < 1150 for count in homes.values()), "six standard deviations about 1,000"


def test_without_a_prefix_the_least_loaded_by_share() -> None:
    big, small = Server("big", 8, 32), Server("small", 3, 8)
    assert least_loaded([small, big]) is big
    assert least_loaded([Server("full", 8, 8)]) is None


def test_the_version_of_a_fleet() -> None:
    assert common_version("a", ["a", "a", "b"]) == "a", "one restarted with other weights"
    assert common_version("a", ["a", "b"]) == "a", "half-way through a reload"
    assert common_version("a", ["b", "b", "a"]) == "b", "past the middle of it"
    assert common_version("a", ["b"]) == "b"
    assert common_version("", ["", "a"]) == "a"
    assert common_version("a", ["", ""]) == "a", "servers that do not say change nothing"


@given(st.sampled_from("ab"), st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=6))
def test_the_version_is_one_that_no_other_outnumbers(current: str, versions: list[str]) -> None:
    found = common_version(current, versions)
    known = Counter(version for version in versions if version)
    assert known[found] == max(known.values(), default=0)
