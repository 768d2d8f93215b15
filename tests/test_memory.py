"""The SDK's own process stays small: 200 tasks in flight against a scripted server in another process."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from servers.fake import FakeServer, FakeSettings

LIMIT_MB = 300

PROGRAM = """
import asyncio, sys
from pathlib import Path
import rro_sdk as rro
from rro_sdk.envs.intercode_sql import InterCodeSQL

async def main(url, run):
    gold = "SELECT count(*) FROM pets"
    tasks = [rro.Task(f"t{n}", "How many?", {"db": "pets_1", "gold": gold}) for n in range(400)]
    fleet = rro.FleetSettings(concurrency=1000)
    peak = 0
    async with (
        InterCodeSQL(show_schema=True, demonstrations=4) as env,
        rro.Sampler(env, servers=[url], fleet=fleet, tasks_in_flight=200, run_dir=run) as sampler,
    ):
        async for event in sampler.events(tasks):
            peak = max(peak, sampler.fleet.in_flight)
    # Not ru_maxrss: a child inherits the peak of the process that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(sampler.summary().tasks, peak, int(status["VmHWM"].split()[0]) // 1024)

asyncio.run(main(*sys.argv[1:]))
"""


def reply(messages: object, seed: int | None, index: int) -> str:
    drawn = (seed or 0) % 4
    if drawn == 0:
        return "Thought: done\nAction: submit"
    return f"Thought: {'look again ' * 20}\nAction: SELECT {'count(*)' if drawn == 1 else '*'} FROM pets"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
async def test_under_300_mb_with_200_tasks_in_flight(tmp_path: object) -> None:
    async with FakeServer(FakeSettings(reply=reply, max_running_requests=4000)) as server:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", PROGRAM, server.url, f"{tmp_path}/run"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    tasks, in_flight, peak_mb = map(int, done.stdout.split())
    assert tasks == 400
    assert in_flight >= 200, "or it shows nothing"
    assert peak_mb < LIMIT_MB
