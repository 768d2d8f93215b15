"""What the pages take for granted: a run, servers that answer, an environment with its tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rro_sdk as rro
from rro_sdk.testing import TreeEnv, TreePolicy, TreeSettings, tree_tasks
from rro_sdk.testing.tree import reply_of
from servers.fake import FakeServer, FakeSettings

TREES = TreeSettings(depth=3, branching=4)
METHOD = rro.RisingReward(on_first_rise="second")


def given(urls: Sequence[str]) -> dict[str, Any]:
    """The names that a page may use without making them: an environment, tasks, servers."""
    return {"env": TreeEnv(TREES), "tasks": tree_tasks(4), "urls": list(urls)}


def make_run(folder: Path) -> str:
    """A finished run with pairs; returns the id of one."""

    async def run() -> list[rro.PreferencePair]:
        policy = TreePolicy(TREES)
        async with rro.Sampler(TreeEnv(TREES), policy=policy, method=METHOD, run_dir=folder) as sampler:
            return [pair async for pair in sampler.pairs(tree_tasks(20))]

    return asyncio.run(run())[0].id


def _move(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    return reply_of((seed or 0) % TREES.branching)


@contextmanager
def fake_servers(count: int) -> Iterator[list[str]]:
    """Servers that make moves in trees, in a thread, because the blocks have event loops of their own."""
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        servers = [FakeServer(FakeSettings(reply=_move)) for _ in range(count)]
        for server in servers:
            await server.start()
            urls.append(server.url)
        started.set()
        await stop.wait()
        for server in servers:
            await server.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert started.wait(10)
        yield urls
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
