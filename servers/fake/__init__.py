"""An SGLang-compatible server that loads no model: for testing what talks to servers, faults included.

    from servers.fake import FakeServer, FakeSettings

    async with FakeServer(FakeSettings(reply=lambda messages, seed, index: "Paris")) as server:
        ...  # server.url, server.counters

Or as a program: `python -m servers.fake --port 30000`. What it answers is held to the real server by
tests/integration/test_conformance.py.
"""

from servers.fake.counters import Counters
from servers.fake.server import FakeServer
from servers.fake.settings import FakeSettings, Fault, FaultKind, Latency, Reply, Timed
from servers.fake.text import seeded_reply

__all__ = [
    "Counters",
    "FakeServer",
    "FakeSettings",
    "Fault",
    "FaultKind",
    "Latency",
    "Reply",
    "Timed",
    "seeded_reply",
]
