"""Carrying out a fault: before the work, or on the finished reply."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from servers.fake.settings import Fault
from servers.fake.wire import openai_error

_HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"


async def before_work(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    """The reply of a fault that needs no completion; None where it does."""
    if fault.kind == "status":
        return _status(fault)
    if fault.kind == "reset":
        _drop(request)
        return web.Response(status=500)  # goes nowhere: the connection is gone
    if fault.kind == "hang":
        await asyncio.Event().wait()  # ends by cancellation, when the client gives up or the server stops
    if fault.kind == "not_json":
        return web.Response(text=_HTML, content_type="text/html")
    return None


async def on_reply(
    fault: Fault, request: web.Request, reply: dict[str, Any], stale: str
) -> web.StreamResponse:
    """The spoilt reply. `stale`: the version from before the last update."""
    if fault.kind == "wrong_n":
        choices = reply["choices"]
        reply["choices"] = choices[:-1] if len(choices) > 1 else choices * 2
    elif fault.kind == "missing_usage":
        del reply["usage"]
    elif fault.kind == "stale_version":
        reply["metadata"] = {
            "weight_version": stale,
            "weight_versions": [{"version": stale, "start": 0, "end": 1}],
        }
    body = json.dumps(reply).encode()
    half = body[: len(body) // 2]
    if fault.kind == "truncated_json":
        return web.Response(body=half, content_type="application/json")
    if fault.kind == "cut_body":
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(half)
        _drop(request)
        return response
    return web.Response(body=body, content_type="application/json")


def _status(fault: Fault) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
    kind = {400: "BadRequestError", 429: "RateLimitError", 503: "ServiceUnavailable"}.get(
        fault.status, "InternalServerError"
    )
    body = openai_error("a scheduled fault", kind, fault.status)
    return web.json_response(body, status=fault.status, headers=headers)


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
