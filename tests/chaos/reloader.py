"""A reload that dies around one of its calls: `python -m tests.chaos.reloader URL CHECKPOINT [WHEN COUNT]`.

WHEN is `before` or `after`, COUNT which call of the reload to the server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import reload_weights


def arm(when: str, count: int) -> None:
    request, calls = Transport.request, 0

    async def counted(
        self: Transport, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        nonlocal calls
        calls += 1
        mine = calls == count
        if mine and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return await request(self, method, server, path, body, timeout_s)
        finally:  # a refusal is an answer too
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)

    Transport.request = counted  # type: ignore[method-assign]


async def main(url: str, checkpoint: str) -> None:
    report = await reload_weights([url], checkpoint)
    report.raise_for_failures()


if __name__ == "__main__":
    if len(sys.argv) > 3:
        arm(sys.argv[3], int(sys.argv[4]))
    asyncio.run(main(*sys.argv[1:3]))
