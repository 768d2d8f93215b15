"""Rows of a journal as bytes that can be torn: each commit is one frame, whole or not there. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from rro_sdk.errors import JournalError
from rro_sdk.journal.rows import Row

_HEAD = struct.Struct("<II")
"""Length and CRC-32 of what follows."""

_AGAIN = {
    "task": "INSERT OR IGNORE INTO task VALUES (?, ?)",
    "turn": f"INSERT OR IGNORE INTO turn VALUES ({', '.join('?' * 16)})",
    "rollout": f"INSERT OR IGNORE INTO rollout VALUES ({', '.join('?' * 8)})",
    "event": "INSERT OR IGNORE INTO event (at, task_id, kind, once, body) VALUES (?, ?, ?, ?, ?)",
}
"""How a row is written when it is read back. Statements are never read from a shared folder."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[str, list[Any]]])


def frame(payload: bytes) -> bytes:
    """The payload with its length and checksum."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def payloads(data: bytes) -> Iterator[bytes]:
    """What was framed, up to the first frame that is torn."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        payload = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum or not length:
            return
        yield payload
        at += _HEAD.size + length


def pack(rows: Sequence[Row]) -> bytes:
    """Rows as the payload of one frame."""
    return _encoder.encode([(_table(statement), values) for statement, values in rows])


def unpack(payload: bytes) -> Iterable[Row]:
    """The rows of a frame; written twice they are there once.

    Raises:
        JournalError: they are no rows of this version.
    """
    try:
        return [(_AGAIN[table], tuple(values)) for table, values in _decoder.decode(payload)]
    except (msgspec.DecodeError, KeyError) as error:
        raise JournalError(
            f"a shard has rows that this SDK cannot read ({type(error).__name__}); use the SDK of that run"
        ) from None


def _table(statement: str) -> str:
    words = statement.split(maxsplit=5)
    table = words[words.index("INTO") + 1]
    if table not in _AGAIN:
        raise ValueError(f"rows of {table} are not shipped")
    return table
