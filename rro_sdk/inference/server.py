"""One SGLang server: completion, health and what it says about itself."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from rro_sdk.errors import BadReply, ServerError, ServerRefused, ServerTimeout
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.wire import ChatRequest, Completion, decode_reply, encode_request

T = TypeVar("T")

ABORT_TIMEOUT_S = 10.0
"""An abort answers at once; a server that needs longer has worse trouble than a request too many."""


class ModelInfo(msgspec.Struct, frozen=True):
    """What a server serves: the folder it loaded, and its weight version ("" where it does not say)."""

    model_path: str
    weight_version: str = ""


class Server:
    """One server behind one address. Holds no state but the address."""

    def __init__(self, url: str, transport: Transport) -> None:
        self.url = url
        self._transport = transport

    async def complete(self, request: ChatRequest, *, timeout_s: float) -> Completion:
        """One chat completion of `request.n` samples.

        Giving up on it, by cancelling the await or by the deadline, aborts it on the server.

        Raises:
            ServerError: see `Transport.post`; `BadReply` where the reply breaks the contract, and
                `ServerRefused` (status 503) where the server aborted a sample, which is then no data.
        """
        rid = request.rid or uuid.uuid4().hex
        content = encode_request(msgspec.structs.replace(request, rid=rid))
        try:
            body = await self._transport.post(self.url, "/v1/chat/completions", content, timeout_s=timeout_s)
        except (asyncio.CancelledError, ServerTimeout):
            self._transport.in_background(self.abort(rid))
            raise
        try:
            completion = decode_reply(body, n=request.n, server=self.url)
        except msgspec.DecodeError as error:
            raise BadReply(
                f"server {self.url} sent a completion that is not of the contract's shape: {error}",
                url=self.url,
            ) from None
        if any(sample.finish_reason == "abort" for sample in completion.samples):
            raise ServerRefused(f"server {self.url} aborted a completion", url=self.url, status=503)
        return completion

    async def abort(self, rid: str) -> None:
        """Ask the server to stop a request. A server that cannot be asked is left to notice by itself."""
        with suppress(ServerError):
            await self._transport.post(
                self.url, "/abort_request", msgspec.json.encode({"rid": rid}), timeout_s=ABORT_TIMEOUT_S
            )

    async def model_info(self, *, timeout_s: float = 15.0) -> ModelInfo:
        """What it serves now, from GET /model_info."""
        return await self._read("/model_info", ModelInfo, timeout_s)

    async def loads(self, *, timeout_s: float = 15.0) -> dict[str, Any]:
        """Its own account of load, from GET /v1/loads, as decoded JSON."""
        return await self._read("/v1/loads", dict[str, Any], timeout_s)

    async def _read(self, path: str, shape: type[T], timeout_s: float) -> T:
        body = await self._transport.get(self.url, path, timeout_s=timeout_s)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.DecodeError as error:
            raise BadReply(
                f"server {self.url} answered {path} in an unexpected shape: {error}", url=self.url
            ) from None
