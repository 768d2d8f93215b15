"""`python -m servers.fake --port P`: a fake server of its own, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from rro_sdk.errors import ConfigError
from servers.fake.server import FakeServer
from servers.fake.settings import FakeSettings, Latency


def _settings(argv: list[str] | None) -> FakeSettings:
    parser = argparse.ArgumentParser(
        prog="python -m servers.fake",
        description="An SGLang-compatible server without a model. Keys: RRO_API_KEY, RRO_ADMIN_API_KEY.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--model-path", default="fake", help="the folder it says it serves")
    parser.add_argument("--weight-version", default="default")
    parser.add_argument("--max-running-requests", type=int, default=256)
    parser.add_argument("--per-request-s", type=float, default=0.0, help="latency of a reply")
    parser.add_argument("--per-token-s", type=float, default=0.0, help="and of each of its tokens")
    got = parser.parse_args(argv)
    return FakeSettings(
        host=got.host,
        port=got.port,
        model_path=got.model_path,
        weight_version=got.weight_version,
        max_running_requests=got.max_running_requests,
        latency=Latency(got.per_request_s, got.per_token_s),
        # Not as flags: a command line can be read by other users.
        api_key=os.environ.get("RRO_API_KEY") or None,
        admin_api_key=os.environ.get("RRO_ADMIN_API_KEY") or None,
    )


async def _run(settings: FakeSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with FakeServer(settings) as server:
        print(server.url, flush=True)
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Print the URL when listening; 0 after a signal, 2 where it cannot start."""
    try:
        asyncio.run(_run(_settings(argv)))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
