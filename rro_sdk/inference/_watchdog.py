"""Continues servers whose reloader died between pause and continue. Runs as a script of its own.

It is told on standard input, never by arguments or environment, which other users can read: one line of JSON
with the calls and the key, and later the line `done`. If the input ends without it, or the parent is another
process than at the start, it makes the calls, again and again until each has answered or the time is up.

Standard library alone, imported late: it has to be up before the first pause.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Any

POLL_S = 0.5
"""Between two looks at the parent: a process that it forked can keep the pipe open after its death."""

CALL_TIMEOUT_S = 30.0

RETRY_S = 0.5


def main() -> int:
    """0 where all is well or every server was continued, 1 where one was not."""
    with open(0, "rb", buffering=0, closefd=False) as pipe:  # unbuffered: `select` must see what comes next
        told = json.loads(pipe.readline())
    print("ready", flush=True)
    if _dismissed(told["parent"]):
        return 0
    return 0 if _make(told["calls"], told["key"], told["patience_s"]) else 1


def _dismissed(parent: int) -> bool:
    """Wait for the parent's word or its end; True for the word."""
    said = b""
    while not said.endswith(b"\n"):
        if select.select([0], [], [], POLL_S)[0]:
            more = os.read(0, 64)
            if not more:
                return False
            said += more
        elif os.getppid() != parent:
            return False
    return said == b"done\n"


def _make(calls: list[dict[str, str]], key: str | None, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        calls = [call for call in calls if not _post(call, key)]
        if not calls:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(RETRY_S)


def _post(call: dict[str, Any], key: str | None) -> bool:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(call["url"])
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection = kind(parts.hostname or "", parts.port, timeout=CALL_TIMEOUT_S)
    try:
        connection.request("POST", parts.path + call["path"], call["body"], headers)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
