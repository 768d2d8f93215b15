"""Who is behind a gateway. Completions go through it; control calls must reach every worker.

Read from smg 1.13.0 and sglang-router 0.3.2 as they run: both list their workers at GET /workers, and neither
forwards /model_info, /pause_generation or /abort_request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from rro_sdk.errors import BadReply, ServerRefused
from rro_sdk.inference.address import normalise
from rro_sdk.inference.transport import Transport

GATEWAY_TIMEOUT_S = 15.0
"""The list comes from the gateway's memory."""

_NO_GATEWAY = (401, 403, 404, 405)
"""What a plain SGLang server says to /workers: 404, or 401 before that where it has keys."""


class _Worker(msgspec.Struct):
    url: str


class _Workers(msgspec.Struct):
    workers: list[_Worker]


async def workers_of(url: str, transport: Transport) -> tuple[str, ...]:
    """The workers behind `url`, in the gateway's order; empty where it is a plain server.

    Raises:
        ServerError: it cannot be asked; `BadReply` for an answer that is not a list of workers, or an empty
            one: a gateway without workers serves nothing.
    """
    try:
        body = await transport.get(url, "/workers", timeout_s=GATEWAY_TIMEOUT_S)
    except ServerRefused as error:
        if error.status in _NO_GATEWAY:
            return ()
        raise
    try:
        listed = msgspec.json.decode(body, type=_Workers).workers
    except msgspec.DecodeError as error:
        raise BadReply(f"{url} answered /workers in an unexpected shape: {error}", url=url) from None
    found = tuple(dict.fromkeys(normalise(_without_rank(worker.url)) for worker in listed))
    if not found:
        raise BadReply(f"gateway {url} has no workers; start some, or wait until they are healthy", url=url)
    return found


async def all_workers(urls: Sequence[str], transport: Transport) -> dict[str, tuple[str, ...]]:
    """For each URL the addresses that its control calls go to: its workers', or its own.

    Raises:
        ServerError: see `workers_of`.
    """
    found = await asyncio.gather(*(workers_of(url, transport) for url in urls))
    return {url: workers or (url,) for url, workers in zip(urls, found, strict=True)}


def _without_rank(url: str) -> str:
    """With data parallelism a gateway lists each rank, as URL@RANK; they share one control address."""
    base, _, rank = url.rpartition("@")
    return base if base and rank.isdigit() else url
