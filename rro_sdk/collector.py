"""Python's garbage collector under many requests in flight: a setting of the process, for programs to choose.

Some 65 tracked objects live as long as a request does. With 1,024 requests in flight next to nothing that a
young collection looks at is garbage, yet by default there is one after every 700 new objects: more than half
of the CPU time goes there (benchmarks.client shows both). Nothing in the SDK calls this by itself but its
command line, for the thresholds belong to the whole process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from rro_sdk.errors import ConfigError

NEW_OBJECTS = 50_000
"""The objects of some 770 requests. What waits for a collection meanwhile is cyclic garbage alone, which at a
few hundred bytes an object stays below 25 MB."""


@contextmanager
def fewer_collections(new_objects: int = NEW_OBJECTS) -> Iterator[None]:
    """Within the block, collect young objects after this many new ones; a higher threshold stays as it is.

    Raises:
        ConfigError: `new_objects` is below 1.
    """
    if new_objects < 1:
        raise ConfigError(f"new_objects must be at least 1, not {new_objects}")
    before = gc.get_threshold()
    if before[0]:  # 0 is a collector that somebody switched off
        gc.set_threshold(max(before[0], new_objects), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
