"""What a reload asks of an inference engine, and the two that can: SGLang and vLLM.

The sequences were read from the sources of sglang 0.5.23 and vllm 0.32.0 (`VLLM_SERVER_DEV_MODE=1` opens
vLLM's control routes). An `Engine` is one worker, never a gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar

import msgspec

from rro_sdk.errors import BadReply, ReloadError, ServerRefused
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message

T = TypeVar("T")

ReloadMode = Literal["drain", "abort", "retract"]

CONTROL_TIMEOUT_S = 30.0
"""Control calls answer in milliseconds on an idle server; a loaded CPU server takes seconds."""


class Call(msgspec.Struct, frozen=True):
    """One POST, so that it can be handed to the watchdog."""

    url: str
    path: str
    body: str = "{}"


class Served(msgspec.Struct, frozen=True):
    """What a worker has loaded. `path` is None where it cannot tell which folder its weights came from."""

    model_path: str
    weight_version: str
    path: str | None


class Engine(Protocol):
    """The control calls of one worker. All of them raise ServerError where it does not do as asked."""

    url: str

    @property
    def resume_call(self) -> Call:
        """What continues a paused worker."""

    async def served(self) -> Served:
        """What it has loaded now."""

    async def pause(self, mode: ReloadMode, *, timeout_s: float) -> None:
        """Deal with the requests in flight as the mode says; new ones queue in the worker."""

    async def update(self, path: str, version: str, *, timeout_s: float) -> None:
        """Load a checkpoint and forget every cached prefix. Waits for what runs if nothing paused it."""

    async def abort_all(self) -> None:
        """End every request that the worker has."""

    async def resume(self) -> None:
        """Continue, and see that it did; does nothing to one that is not paused."""

    async def probe(self, *, timeout_s: float) -> tuple[str, ...]:
        """Generate a token; the weight versions that made it, empty where the engine does not say."""


class SGLang:
    """SGLang's sequence.

    drain: no pause. `update_weights_from_disk` takes a writer's lock over all requests: those in flight
    finish, new ones wait behind it, and a caller that dies cannot leave anything paused. It then looks
    whether its scheduler is idle, and at times that has not seen yet that the last request ended: the weights
    are new, the cache of the old ones is kept, and the answer is 400. So such an update is made once more,
    in a pause with `retract`, where what runs cannot keep the cache.
    retract: pause with `retract`, which frees the cache so that the update may flush it.
    abort: the same pause, then abort_all. SGLang's own `abort` pause looks for the end of the aborted
    requests once a second, and the pause lasts as long.
    """

    def __init__(self, url: str, user: Transport, admin: Transport) -> None:
        self.url = url
        self._server = Server(url, user)
        self._user = user
        self._admin = admin
        self._drains = False

    @property
    def resume_call(self) -> Call:
        return Call(self.url, "/continue_generation")

    async def served(self) -> Served:
        info = await self._server.model_info(timeout_s=CONTROL_TIMEOUT_S)
        return Served(info.model_path, info.weight_version, info.model_path)

    async def pause(self, mode: ReloadMode, *, timeout_s: float) -> None:
        self._drains = mode == "drain"
        if self._drains:
            return
        await self._post("/pause_generation", {"mode": "retract"}, timeout_s)
        if mode == "abort":
            await self.abort_all()

    async def update(self, path: str, version: str, *, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            await self._load(path, version, timeout_s)
        except ServerRefused as error:
            if not (self._drains and error.status == 400):
                raise
            await self.pause("retract", timeout_s=CONTROL_TIMEOUT_S)
            await self._load(path, version, max(deadline - loop.time(), CONTROL_TIMEOUT_S))

    async def _load(self, path: str, version: str, timeout_s: float) -> None:
        body = await self._post(
            "/update_weights_from_disk",
            {"model_path": path, "weight_version": version, "abort_all_requests": False, "flush_cache": True},
            timeout_s,
        )
        # With data parallelism there is one answer a rank.
        reply = _decode(self.url, "its update", body, _Success | list[_Success])  # type: ignore[arg-type]
        for part in reply if isinstance(reply, list) else [reply]:
            if not part.success:
                raise _refused(self.url, part.message)

    async def abort_all(self) -> None:
        await self._post("/abort_request", {"rid": "", "abort_all": True})

    async def resume(self) -> None:
        await self._post("/continue_generation", {})
        await self._user.get(self.url, "/ready", timeout_s=CONTROL_TIMEOUT_S)  # 503 while paused

    async def probe(self, *, timeout_s: float) -> tuple[str, ...]:
        completion = await self._server.complete(_probe("default"), timeout_s=timeout_s)
        return completion.weight_versions

    async def _post(self, path: str, body: object, timeout_s: float = CONTROL_TIMEOUT_S) -> bytes:
        return await self._admin.post(self.url, path, msgspec.json.encode(body), timeout_s=timeout_s)


class VLLM:
    """vLLM's sequence: pause, load through `collective_rpc`, forget the cache, name the version, resume.

    Its pauses are drain = `wait`, abort = `abort`, retract = `keep`; new requests queue in each. After `keep`
    what it froze still holds cache of the old weights, so the reset takes that too, and it is made again.
    It never tells which folder it loaded last, so it can be rolled back to the one it started with alone.
    """

    PAUSES: Mapping[ReloadMode, str] = MappingProxyType(
        {"drain": "wait", "abort": "abort", "retract": "keep"}
    )
    FIRST_VERSION = "default"
    """Its weight version until somebody sets one."""

    def __init__(self, url: str, user: Transport, admin: Transport) -> None:
        self.url = url
        self._server = Server(url, user)
        self._user = user
        self._admin = admin

    @property
    def resume_call(self) -> Call:
        return Call(self.url, "/resume")

    async def served(self) -> Served:
        root = (await self._model()).root
        body = await self._admin.get(self.url, "/weight_info", timeout_s=CONTROL_TIMEOUT_S)
        version = _decode(self.url, "/weight_info", body, _WeightInfo).weight_version
        return Served(root, version, root if version == self.FIRST_VERSION else None)

    async def pause(self, mode: ReloadMode, *, timeout_s: float) -> None:
        await self._post(f"/pause?mode={self.PAUSES[mode]}", {}, timeout_s)

    async def update(self, path: str, version: str, *, timeout_s: float) -> None:
        body = {"method": "reload_weights", "kwargs": {"weights_path": path}, "timeout": timeout_s}
        await self._post("/collective_rpc", body, timeout_s)
        for path_of_call, asked in (
            ("/reset_prefix_cache?reset_running_requests=true", {}),
            ("/update_weight_version", {"new_version": version}),
        ):
            answer = await self._post(path_of_call, asked)
            if not _decode(self.url, path_of_call, answer, _Success).success:
                raise _refused(self.url, f"{path_of_call} did not succeed")

    async def abort_all(self) -> None:
        await self._post("/abort_requests", {})

    async def resume(self) -> None:
        await self._post("/resume", {})
        body = await self._admin.get(self.url, "/is_paused", timeout_s=CONTROL_TIMEOUT_S)
        if _decode(self.url, "/is_paused", body, _Paused).is_paused:
            raise ServerRefused(f"server {self.url} is paused after /resume", url=self.url, status=503)

    async def probe(self, *, timeout_s: float) -> tuple[str, ...]:
        request = _probe((await self._model()).id)
        return (await self._server.complete(request, timeout_s=timeout_s)).weight_versions

    async def _model(self) -> _Model:
        body = await self._user.get(self.url, "/v1/models", timeout_s=CONTROL_TIMEOUT_S)
        models = _decode(self.url, "/v1/models", body, _Models).data
        if not models:
            raise BadReply(f"server {self.url} lists no model", url=self.url)
        return models[0]

    async def _post(self, path: str, body: object, timeout_s: float = CONTROL_TIMEOUT_S) -> bytes:
        return await self._admin.post(self.url, path, msgspec.json.encode(body), timeout_s=timeout_s)


ENGINES: dict[str, type[SGLang] | type[VLLM]] = {"sglang": SGLang, "vllm": VLLM}


class _Success(msgspec.Struct):
    success: bool
    message: str = ""


class _Paused(msgspec.Struct):
    is_paused: bool


class _WeightInfo(msgspec.Struct):
    weight_version: str


class _Model(msgspec.Struct):
    id: str
    root: str


class _Models(msgspec.Struct):
    data: list[_Model]


def _probe(model: str) -> ChatRequest:
    return ChatRequest(messages=(Message("user", "Hello"),), model=model, temperature=0.0, max_tokens=1)


def _decode(url: str, what: str, body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise BadReply(f"server {url} answered {what} in an unexpected shape: {error}", url=url) from None


def _refused(url: str, why: str) -> ReloadError:
    return ReloadError(f"server {url} refused the update: {why}", url=url)
