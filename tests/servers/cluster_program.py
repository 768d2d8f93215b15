"""Plays SGLang's interpreter on a node of a cluster: the fake server, told what SGLang's launcher is told.

Run as `cluster_program.py STATE_FOLDER ...`; what comes after is the launcher that it stands in for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from servers._launch import die_with_parent
from servers.fake import FakeServer, FakeSettings


async def _serve(got: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = FakeSettings(
        host=got["host"],
        port=got["port"],
        api_key=got["api_key"],
        admin_api_key=got["admin_api_key"],
        model_path=got["model"],
        served_name=got["served_name"],
        weight_version=got["weight_version"],
    )
    async with FakeServer(settings):
        await stop.wait()


def main(state: Path) -> None:
    die_with_parent()
    got: dict[str, Any] = json.load(sys.stdin)
    told = {name: value for name, value in got.items() if "key" not in name}
    told["devices"] = os.environ.get("CUDA_VISIBLE_DEVICES")
    (state / f"{os.getpid()}.json").write_text(json.dumps(told))
    if (state / "broken").exists():
        print("ValueError: no such kernel", flush=True)
        sys.exit(3)
    asyncio.run(_serve(got))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
