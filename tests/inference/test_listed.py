"""Servers that a file lists, and fleets that follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from rro_sdk.errors import ConfigError
from rro_sdk.inference import fleet as fleets
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.listed import Listed, resolved
from rro_sdk.inference.weights import reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.fake import FakeServer, FakeSettings, Latency
from servers.listing import Listing
from tests.checkpoints import write_checkpoint

A, B, C = (f"http://10.0.0.{number}:30000" for number in (1, 2, 3))


def listing(path: Path, *urls: str) -> str:
    Listing(path).write([{"url": url, "pid": 7} for url in urls])
    return f"@{path}"


def test_a_file_stands_for_the_servers_that_it_lists(tmp_path: Path) -> None:
    kept = listing(tmp_path / "kept.json", A, B + "/v1")
    (tmp_path / "lines").write_text(f"# by hand\n\n  {C}/\n")
    assert resolved([kept, f"@{tmp_path / 'lines'}"]) == (A, B, C)
    assert resolved([A]) == (A,)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the list of servers"),
        (b"", "lists no server; wait until some serve"),
        (b'{"servers": []}', "lists no server; wait until some serve"),
        (b'{"servers": [{"pid": 3}]}', "is no list of servers such as rro serve --urls writes"),
        (b'{"serv', "is no list of servers such as"),
        (b"\xff\xfe", "write one URL a line"),
        (b"10.0.0.1:30000\n", "must be http://HOST:PORT"),
        (f"{A}\n{A}/v1\n".encode(), "is given twice"),
    ],
)
def test_what_is_no_list_is_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        resolved([f"@{tmp_path / 'list'}"])


def test_a_list_that_says_nothing_new_or_nothing_at_all_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "list"
    listed = Listed([listing(path, A, B)])
    assert listed.may_change and not Listed([A]).may_change
    for content in (f"{B}\n{A}\n", "", '{"servers": []}', '{"serv'):
        path.write_text(content)
        assert not listed.look() and listed.urls == (A, B)
    path.unlink()
    assert not listed.look()
    path.write_text(C)
    assert listed.look() and listed.urls == (C,)


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(what)


async def test_a_call_that_waits_for_its_turn_at_a_server_that_leaves_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "FOLLOW_S", 0.02)
    path, rare = tmp_path / "list", 1 / 1000
    async with FakeServer() as one, FakeServer() as two:
        async with Fleet([listing(path, one.url)], FleetSettings(requests_per_second=rare)) as fleet:
            message = Message("user", "question")
            request = ChatRequest(messages=(message,), model="m", temperature=1.0)
            assert (await fleet.complete(request)).server == one.url
            late = asyncio.create_task(fleet.complete(request))
            await until(lambda: fleet.in_flight == 1, "it has a place, and its turn in a quarter of an hour")
            listing(path, two.url)
            async with asyncio.timeout(30):
                assert (await late).server == two.url


async def test_a_fleet_follows_its_list_and_nobody_who_asks_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "FOLLOW_S", 0.02)
    served, path = write_checkpoint(tmp_path / "served"), tmp_path / "list"
    slow = FakeSettings(model_path=str(served), weight_version="v0", latency=Latency(per_token_s=0.005))
    async with FakeServer(slow) as one, FakeServer(slow) as two, FakeServer(slow) as three:
        async with Fleet([listing(path, one.url)], FleetSettings(concurrency=4)) as fleet:
            await fleet.check()

            async def ask(number: int) -> None:
                while True:
                    message = Message("user", f"question {number}")
                    await fleet.complete(ChatRequest(messages=(message,), model="m", temperature=1.0))

            asking = [asyncio.create_task(ask(number)) for number in range(8)]
            await until(lambda: one.counters.completed > 4, "the first serves")
            listing(path, one.url, two.url)
            await until(lambda: two.counters.completed > 4, "the second joins")
            listing(path, two.url)
            await until(lambda: fleet.urls == (two.url,), "the first leaves")
            left = one.counters.completed
            before = two.counters.completed
            await until(lambda: two.counters.completed > before + 8, "the second serves alone")
            assert one.counters.completed <= left + 4  # what was in flight
            assert set(fleet.limits) == {two.url} and fleet.out == {}
            done = {status.url: status for status in fleet.status}
            assert done[one.url].requests and done[one.url].why == "it is no longer listed"

            # Other weights: it joins, and gets nothing until it serves what the others do.
            new = write_checkpoint(tmp_path / "new", fill=1)
            report = await reload_weights([f"@{path}"], new, gate=fleet)
            assert report.reloaded == (two.url,)
            await until(lambda: fleet.weight_version == report.weight_version, "the fleet goes over")
            listing(path, two.url, three.url)
            await until(lambda: "serves weight version v0" in fleet.out.get(three.url, ""), "it is behind")
            assert three.counters.completed == 0
            await reload_weights([three.url], new)
            await until(lambda: three.counters.completed > 4, "it is one of them")

            listing(path, one.url, two.url)  # the first is back, still at the old weights
            await until(lambda: "serves weight version v0" in fleet.out.get(one.url, ""), "it is back")
            assert not any(task.done() for task in asking)
            for task in asking:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError)
                for end in await asyncio.gather(*asking, return_exceptions=True)
            )
