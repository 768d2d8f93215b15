"""The moves world's server in a process of its own: `python -m benchmarks._moves_server SLOTS`.

A fake server with the speed of a profile; it prints its URL and serves until its standard input ends, so that
it cannot outlive the process that started it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks._simulated import reply
from servers.fake import FakeServer, FakeSettings
from servers.simulated import PROFILES

PROFILE = "h100-gemma2-2b"


async def _serve(slots: int) -> None:
    settings = FakeSettings(reply=reply, latency=PROFILES[PROFILE].latency, max_running_requests=slots)
    async with FakeServer(settings) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def moves_server(slots: int) -> Iterator[str]:
    """Start one and give its URL; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks._moves_server", str(slots)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
