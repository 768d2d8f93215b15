"""Where the items of a JSON array stand in their file, for messages that name a line."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from rro_sdk._json import decode


def items_with_lines(raw: bytes) -> Iterator[tuple[int, msgspec.Raw]]:
    """Each item of an array, undecoded, with the number of the line that it begins on, from 1.

    Raises:
        msgspec.DecodeError: it is no array, or malformed.
    """
    line, counted, end = 1, 0, 0
    for item in decode(raw, list[msgspec.Raw]):
        begin = raw.index(bytes(item), end)
        line += raw.count(b"\n", counted, begin)
        yield line, item
        counted, end = begin, begin + len(bytes(item))
