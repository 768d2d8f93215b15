"""`rro watch` beside a run that another process samples, and what `rro sample` shows of itself."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.journal import JOURNAL_NAME
from rro_sdk.live.status import STATUS_NAME
from servers.fake import FakeServer, FakeSettings, Fault
from tests.cli.test_cli import rro_async
from tests.cli.test_runs import RRO, reply, sample, tasks_file

__all__ = ["tasks_file"]

ENOUGH = 120
"""Requests after which the server answers no more, so that the run stands where the test wants it."""

STUCK = FakeSettings(
    reply=reply,
    model_path="/m/small",
    faults={number: Fault("hang") for number in range(ENOUGH, 100 * ENOUGH)},
)


@asynccontextmanager
async def running(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """A command, which does not outlive the block."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*RRO, *arguments, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(300):
            yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.communicate()


async def snapshot(run: Path) -> dict[str, Any]:
    done = await rro_async("watch", str(run), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def stuck(run: Path, child: asyncio.subprocess.Process) -> dict[str, Any]:
    """The run when all that the server answered is told, and some task has come to something."""
    async with asyncio.timeout(250):
        while True:
            assert child.returncode is None, "it ended before its time"
            if (run / STATUS_NAME).exists():
                seen = await snapshot(run)
                if sum(each["requests"] for each in seen["servers"]) == ENOUGH - 1 and seen["rollouts"]:
                    return seen
            await asyncio.sleep(0.05)


async def test_a_run_is_watched_while_it_is_sampled_killed_and_resumed(
    tmp_path: Path, tasks_file: Path
) -> None:
    run = tmp_path / "run"
    async with FakeServer(STUCK) as server:
        async with running(*sample(server, tasks_file, run)) as sampler:
            seen = await stuck(run, sampler)
            assert (seen["phase"], seen["tasks"]["given"]) == ("sampling", 12)
            (load,) = seen["servers"]
            assert (load["url"], load["why"]) == (server.url, None)
            assert 0 < load["in_flight"] <= load["limit"]
            assert sum(seen["generated"].values()) == load["usage"]["completion_tokens"]
            once = await rro_async("watch", str(run), "--once")
            assert "sampling for" in once.stdout
            assert max(map(len, once.stdout.splitlines())) <= 80
            assert "pets" not in once.stdout, "no prompt, no reply"
            async with running("watch", str(run)) as watcher, running("watch", str(run)) as left:
                for each in (watcher, left):
                    assert each.stdout is not None
                    assert b"/12, running " in await each.stdout.readline()
                left.send_signal(signal.SIGINT)
                _, err = await left.communicate()
                assert (left.returncode, b"the run goes on" in err) == (130, True)
                sampler.send_signal(signal.SIGKILL)
                _, err = await sampler.communicate()
                assert err == b"", "quiet"
                _, err = await watcher.communicate()
        assert watcher.returncode == 0
        assert f"broken off without a word; go on with: rro resume {run}" in err.decode()
        assert (await snapshot(run))["phase"] == "lost"

    async with FakeServer(FakeSettings(reply=reply, model_path="/m/small")) as server:
        async with running("resume", str(run), "--servers", server.url) as resumed:
            _, err = await resumed.communicate()
    assert resumed.returncode == 0, err.decode()
    lines = [row for row in err.decode().splitlines() if row.startswith("tasks 12/12")]
    assert len(lines) == 1, "the last line, plain, for there is no terminal"

    kept = {path.name: path.read_bytes() for path in run.iterdir()}
    done = await rro_async("watch", str(run))
    assert (done.returncode, done.stderr) == (0, "the run has ended\n")
    over, summary = await snapshot(run), json.loads((run / "summary.json").read_text())
    assert over["phase"] == "finished"
    for name in ("steps", "candidates", "pairs", "rollouts", "no_pair", "steps_by_outcome"):
        assert over[name] == summary[name], name
    assert over["candidates_per_step_null"] == pytest.approx(summary["candidates_per_step_null"])
    entries = summary["ledger"]["entries"].items()
    assert over["generated"] == {kind: entry["usage"]["completion_tokens"] for kind, entry in entries}

    (run / STATUS_NAME).unlink()  # as a run of an older version
    done = await rro_async("watch", str(run), "--once")
    assert (done.returncode, done.stderr) == (0, "the run is not being sampled\n")
    sqlites = {f"{JOURNAL_NAME}-{end}" for end in ("wal", "shm")}
    assert {path.name for path in run.iterdir()} <= kept.keys() | sqlites, "watching writes nothing"
    assert all((run / name).read_bytes() == kept[name] for name in kept.keys() - sqlites - {STATUS_NAME})


async def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    done = await rro_async("watch", str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert "holds no run" in done.stderr
    assert not (tmp_path / "nothing").exists()
