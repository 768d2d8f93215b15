"""What a training in a child process says, line by line."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Iterator
from typing import IO

from rro_sdk.errors import TrainingError

POLL_S = 0.2
"""Between two looks at whether it is to be stopped."""


def lines(
    stream: IO[bytes], stop: threading.Event | None, silence_limit_s: float, *, stopped: str, silent: str
) -> Iterator[bytes]:
    """Whole lines as they come, until the stream ends.

    Args:
        stream: what the child writes to.
        stop: ends it once set.
        silence_limit_s: seconds without a word after which the child is taken for hung.
        stopped: message of the error after `stop`.
        silent: message of the error after a silence.

    Raises:
        TrainingError: stopped, or silent for too long.
    """
    buffer = b""
    heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if stop is not None and stop.is_set():
                raise TrainingError(stopped)
            if selector.select(min(POLL_S, silence_limit_s)):
                chunk = os.read(stream.fileno(), 65536)
                if not chunk:
                    return
                heard = time.monotonic()
                *whole, buffer = (buffer + chunk).split(b"\n")
                yield from whole
            elif time.monotonic() - heard > silence_limit_s:
                raise TrainingError(silent)
