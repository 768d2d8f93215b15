"""One server behind one address, which may be a gateway: completion, abort, and what it says about itself."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from rro_sdk.errors import BadReply, ServerError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.gateway import workers_of
from rro_sdk.inference.limit import Load
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.wire import ChatRequest, Completion, decode_reply, encode_request, usage_of
from rro_sdk.types import Usage, Wasted

T = TypeVar("T")

ABORT_TIMEOUT_S = 10.0
"""An abort answers at once; a server that needs longer has worse trouble than a request too many."""

ABORTED_STATUS = 409
"""What we call a completion that the server aborted: it is tried again, and is no sign of a server that is
down (5xx). A reload is the usual cause, and the server queues the new try by itself, so it need not wait."""


GIVE_UP_S = 8.0
"""How long an aborted request may take to say what it cost. SGLang answers after the step that it is in,
which takes seconds where a CPU computes a long prompt."""

GATEWAY_GIVE_UP_S = 1.0
"""The same behind a gateway, which may have dropped the id: there the closed connection is what stops it."""


class ModelInfo(msgspec.Struct, frozen=True):
    """What a server serves: the folder it loaded, and its weight version ("" where it does not say)."""

    model_path: str
    weight_version: str = ""


class _RankLoad(msgspec.Struct):
    num_running_reqs: int
    num_waiting_reqs: int
    token_usage: float = 0.0
    max_running_requests: int = 0


class _Loads(msgspec.Struct):
    loads: list[_RankLoad]


class Server:
    """One server, or several behind one gateway.

    Args:
        url: where completions go.
        transport: carries them, with the API key.
        control: carries aborts, with the admin key; `transport` if None.
        note: told of tokens that came to nothing.

    Attributes:
        control_urls: where control calls go: the server itself, or every worker of a gateway once it has
            been asked for them, by `find_workers` or when it first did not know /model_info.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        *,
        control: Transport | None = None,
        note: Callable[[Wasted], None] = lambda wasted: None,
    ) -> None:
        self.url = url
        self.control_urls: tuple[str, ...] = (url,)
        self._note = note
        self._transport = transport
        self._control = control or transport

    async def find_workers(self) -> tuple[str, ...]:
        """Ask whether this is a gateway, and remember its workers; they get the control calls from now on.

        Returns:
            The workers' addresses; empty for a plain server.

        Raises:
            ServerError: see `workers_of`.
        """
        workers = await workers_of(self.url, self._transport)
        self.control_urls = workers or (self.url,)
        return workers

    async def complete(self, request: ChatRequest, *, timeout_s: float) -> Completion:
        """One chat completion of `request.n` samples.

        Giving up on it, by cancelling the await or by the deadline, aborts it on the server: at once by its
        id, and where the id does not reach SGLang (`n` above 1 gives every sample one of its own, and
        sglang-router drops it) by the closed connection, which SGLang notices within 4 s.

        Raises:
            ServerError: see `Transport.post`; `BadReply` where the reply breaks the contract, and
                `ServerRefused` (status 409) where the server aborted a sample, which is then no data.
        """
        rid = request.rid or uuid.uuid4().hex
        content = encode_request(msgspec.structs.replace(request, rid=rid))
        sent = asyncio.ensure_future(
            self._transport.post(self.url, "/v1/chat/completions", content, timeout_s=timeout_s)
        )
        try:
            body = await asyncio.shield(sent)  # when we give up, its reply still says what it cost
        except asyncio.CancelledError:
            self._control.in_background(self._give_up(rid, request.n, sent))
            raise
        except ServerTimeout:
            self._control.in_background(self.abort(rid))
            self._note(Wasted("aborted", Usage(), self.url, known=False))
            raise
        except ServerUnreachable:
            self._note(Wasted("retried", Usage(), self.url, known=False))
            raise
        try:
            completion = decode_reply(body, n=request.n, server=self.url)
        except msgspec.DecodeError as error:
            spent = usage_of(body)
            self._note(Wasted("retried", spent or Usage(), self.url, known=spent is not None))
            raise BadReply(
                f"server {self.url} sent a completion that is not of the contract's shape: {error}",
                url=self.url,
            ) from None
        if any(sample.finish_reason == "abort" for sample in completion.samples):
            self._note(Wasted("reload", completion.usage, self.url))
            raise ServerRefused(
                f"server {self.url} aborted a completion",
                url=self.url,
                status=ABORTED_STATUS,
                retry_after=0.0,
            )
        return completion

    async def _give_up(self, rid: str, n: int, sent: asyncio.Future[bytes]) -> None:
        """Abort a request, and book what it cost as far as the server says."""
        try:
            if n > 1:  # the id does not reach SGLang then, and only the closed connection stops it
                sent.cancel()
            await self.abort(rid)
            direct = self.control_urls == (self.url,)
            await asyncio.wait({sent}, timeout=GIVE_UP_S if direct else GATEWAY_GIVE_UP_S)
        finally:
            spent = None
            if not sent.done():
                sent.cancel()
            elif not sent.cancelled() and sent.exception() is None:
                spent = usage_of(sent.result())
            self._note(Wasted("aborted", spent or Usage(), self.url, known=spent is not None))

    async def abort(self, rid: str) -> None:
        """Ask the server, or each of a gateway's workers, to stop a request.

        A server that cannot be asked is left to notice by itself.
        """
        body = msgspec.json.encode({"rid": rid})

        async def ask(url: str) -> None:
            with suppress(ServerError):
                await self._control.post(url, "/abort_request", body, timeout_s=ABORT_TIMEOUT_S)

        await asyncio.gather(*(ask(url) for url in self.control_urls))

    async def model_info(self, *, timeout_s: float = 15.0) -> ModelInfo:
        """What it serves now.

        Raises:
            ServerError: it cannot be asked, or the workers of a gateway serve different things.
        """
        infos = await self._read_all("/model_info", ModelInfo, timeout_s)
        if len(set(infos.values())) > 1:
            said = ", ".join(
                f"{url} serves {info.model_path} version {info.weight_version or 'unknown'}"
                for url, info in infos.items()
            )
            raise ServerError(f"the workers of {self.url} differ: {said}; reload them", url=self.url)
        return next(iter(infos.values()))

    async def loads(self, *, timeout_s: float = 15.0) -> Load:
        """Its own account of load: the sum over its data-parallel ranks, and over a gateway's workers.

        `kv_used` is that of the fullest, for it is the one that begins to retract requests.

        Raises:
            ServerError: it cannot be asked; `ServerRefused` with status 404 where it keeps no such account.
        """
        answers = await self._read_all("/v1/loads?include=core", _Loads, timeout_s)
        ranks = [rank for answer in answers.values() for rank in answer.loads]
        if not ranks:
            raise BadReply(f"server {self.url} answered /v1/loads with no load", url=self.url)
        return Load(
            running=sum(rank.num_running_reqs for rank in ranks),
            waiting=sum(rank.num_waiting_reqs for rank in ranks),
            kv_used=max(rank.token_usage for rank in ranks),
            slots=sum(rank.max_running_requests for rank in ranks) or None,
        )

    async def _read_all(self, path: str, shape: type[T], timeout_s: float) -> dict[str, T]:
        """Read from every control address; the answers by URL.

        A gateway knows no such path, and is asked for its workers. It serves without a worker that is gone,
        so such a one is left out here too.
        """
        if self.control_urls == (self.url,):
            try:
                return {self.url: await self._read(self.url, path, shape, timeout_s)}
            except ServerRefused as error:
                if error.status != 404 or not await self.find_workers():
                    raise
        read: dict[str, T] = {}
        gone: list[ServerError] = []

        async def ask(url: str) -> None:
            try:
                read[url] = await self._read(url, path, shape, timeout_s)
            except (ServerUnreachable, ServerTimeout) as error:
                gone.append(error)

        urls = self.control_urls
        await asyncio.gather(*(ask(url) for url in urls))
        if gone:
            await self.find_workers()  # another may have taken its place
        if read:
            return {url: read[url] for url in urls if url in read}
        if self.control_urls == urls:
            raise gone[0]
        return await self._read_all(path, shape, timeout_s)

    async def _read(self, url: str, path: str, shape: type[T], timeout_s: float) -> T:
        body = await self._transport.get(url, path, timeout_s=timeout_s)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.DecodeError as error:
            raise BadReply(f"server {url} answered {path} in an unexpected shape: {error}", url=url) from None
