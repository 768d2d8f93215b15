"""Plays SGLang's interpreter for SGLangServers: reads what the launcher reads, serves the fake server.

Run as `stub_launcher.py MODE STATE_FOLDER ...`; what comes after is the launcher that it stands in for.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from servers.fake import FakeServer, FakeSettings


async def _serve(settings: FakeSettings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with FakeServer(settings):
        await stop.wait()


def main(mode: str, state: Path) -> None:
    got: dict[str, Any] = json.load(sys.stdin)
    (state / "settings.json").write_text(json.dumps({k: v for k, v in got.items() if "key" not in k}))
    print("stub: starting", flush=True)
    if mode == "dies":
        for number in range(40):
            print(f"line {number}")
        sys.exit(3)
    if mode == "silent":
        signal.pause()
    if mode == "clashes_once" and not (state / "clashed").exists():
        (state / "clashed").touch()
        print("ERROR: [Errno 98] error while attempting to bind: address already in use", flush=True)
        sys.exit(1)
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        # In a session of its own, and orphaned: only the subreaper still knows it.
        grandchild = (
            "import subprocess, sys;"
            "p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True,"
            " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
            "print(p.pid)"
        )
        done = subprocess.run(
            [sys.executable, "-c", grandchild, child], capture_output=True, text=True, check=True, timeout=30
        )
        (state / "grandchild").write_text(done.stdout)
    settings = FakeSettings(
        host=got["host"],
        port=got["port"],
        api_key=None if mode == "open" else got["api_key"],
        admin_api_key=None if mode == "open" else got["admin_api_key"],
        model_path="/elsewhere" if mode == "other_model" else got["model"],
        served_name=got["served_name"],
        weight_version=got["weight_version"],
    )
    if mode == "stubborn":

        async def forever() -> None:
            async with FakeServer(settings):
                await asyncio.Event().wait()

        asyncio.run(forever())
    asyncio.run(_serve(settings))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
