"""Carrying out a request's fault: instead of the work, or on the finished reply."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from servers.fake.replies import Reply, json_reply
from servers.fake.settings import Fault
from servers.fake.wire import openai_error

_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


async def before_work(fault: Fault) -> Reply | None:
    """The reply of a fault that needs no completion; None where it does."""
    if fault.kind == "status":
        return _status(fault)
    if fault.kind in ("reset", "restart", "dead"):
        return Reply(delivery="reset")
    if fault.kind == "hang":
        await asyncio.Event().wait()  # ends by cancellation, when the client gives up or the server stops
    if fault.kind == "not_json":
        return Reply(200, _HTML, "text/html")
    return None


def on_reply(fault: Fault, reply: dict[str, Any], stale: str) -> Reply:
    """The spoilt reply. `stale`: the version from before the last update."""
    if fault.kind == "wrong_n":
        choices = reply["choices"]
        reply["choices"] = choices[:-1] if len(choices) > 1 else choices * 2
    elif fault.kind == "missing_usage":
        del reply["usage"]
    elif fault.kind == "no_version":
        del reply["metadata"]
    elif fault.kind == "stale_version":
        reply["metadata"] = {
            "weight_version": stale,
            "weight_versions": [{"version": stale, "start": 0, "end": 1}],
        }
    if fault.kind == "truncated_json":
        body = msgspec.json.encode(reply)
        return Reply(200, body[: len(body) // 2], "application/json")
    if fault.kind == "cut_body":
        return json_reply(reply, delivery="cut")
    if fault.kind == "slow_drip":
        return json_reply(reply, delivery="drip", seconds=fault.seconds)
    return json_reply(reply)


def _status(fault: Fault) -> Reply:
    headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
    kind = {400: "BadRequestError", 429: "RateLimitError", 503: "ServiceUnavailable"}.get(
        fault.status, "InternalServerError"
    )
    return json_reply(openai_error("a scheduled fault", kind, fault.status), fault.status, headers=headers)
