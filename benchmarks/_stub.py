"""A server that costs next to nothing, in a process of its own: SGLang's reply shape, one fixed body.

`python -m benchmarks._stub` prints its URL and serves until its standard input ends, so that it cannot
outlive the process that started it. It reads requests just far enough to tell them apart.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

REPLY_TEXT = (
    "Thought: I should look at the columns of the table that holds the orders before I join it.\n"
    "Action: SELECT customer_id, SUM(total) AS spent FROM orders GROUP BY customer_id ORDER BY 2 DESC LIMIT 5"
)

_COMPLETION = {
    "id": "5f0c6c9e1d2b4a7f8e3d2c1b0a998877",
    "object": "chat.completion",
    "created": 1795000000,
    "model": "default",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": REPLY_TEXT,
                "reasoning_content": None,
                "tool_calls": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
            "matched_stop": 2,
        }
    ],
    "usage": {
        "prompt_tokens": 640,
        "total_tokens": 691,
        "completion_tokens": 51,
        "prompt_tokens_details": {"cached_tokens": 512},
        "reasoning_tokens": 0,
    },
    "metadata": {
        "weight_version": "3f1f1f0d9a7c",
        "weight_versions": [{"version": "3f1f1f0d9a7c", "start": 0, "end": 51}],
    },
}


def _response(status: str, body: object) -> bytes:
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status}\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\n"
        f"content-length: {len(content)}\r\ncontent-type: application/json\r\n\r\n"
    )
    return head.encode() + content


_CHAT = _response("200 OK", _COMPLETION)
_INFO = _response("200 OK", {"model_path": "stub", "weight_version": "3f1f1f0d9a7c"})
_OK = _response("200 OK", {})
_NOT_FOUND = _response("404 Not Found", {"detail": "Not Found"})


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            whole = end + 4 + (int(rest.partition(b"\r\n")[0]) if found else 0)
            if len(self._unread) < whole:
                return
            self._unread = self._unread[whole:]
            self._transport.write(_answer(head))


def _answer(head: bytes) -> bytes:
    if head.startswith(b"post /v1/chat/completions "):
        return _CHAT
    if head.startswith((b"get /model_info ", b"get /get_model_info ")):
        return _INFO
    if head.startswith((b"get /health", b"post /abort_request ")):
        return _OK
    return _NOT_FOUND


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=4096)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()


@contextmanager
def stub_server() -> Iterator[str]:
    """A stub in another process, for the length of the block; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._stub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()  # closes its standard input, at which it ends


if __name__ == "__main__":
    asyncio.run(_serve())
