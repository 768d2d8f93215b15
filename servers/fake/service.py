"""What a fake server answers, as a function of requests: no sockets. `routes` puts it behind HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from servers.fake import faults
from servers.fake.auth import allowed
from servers.fake.jobs import Ask, Generated, ServerLostError
from servers.fake.prompts import turn_text
from servers.fake.replies import Reply, json_reply
from servers.fake.settings import Fault
from servers.fake.state import FakeState
from servers.fake.text import cut
from servers.fake.wire import (
    BadRequestError,
    chat_reply,
    generate_reply,
    load_of,
    openai_error,
    parse_chat,
    parse_generate,
    parse_object,
)

GENERATION = ("/v1/chat/completions", "/generate")
PAUSE_MODES = ("abort", "retract", "in_place")


@dataclass(frozen=True)
class Request:
    """One HTTP request, as far as the server looks at it."""

    method: str
    path: str
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    authorization: str | None = None
    content_type: str = "application/json"


class FakeService:
    """The routes of one server."""

    def __init__(self, state: FakeState) -> None:
        self._state = state
        self._routes: dict[str, dict[str, Callable[[Request], Awaitable[Reply]]]] = {
            "/v1/chat/completions": {"POST": self._chat},
            "/generate": {"POST": self._generate},
            "/v1/models": {"GET": self._models},
            "/v1/loads": {"GET": self._loads},
            "/model_info": {"GET": self._model_info},
            "/get_model_info": {"GET": self._model_info},
            "/server_info": {"GET": self._server_info},
            "/health": {"GET": self._health},
            "/health_generate": {"GET": self._health},
            "/ready": {"GET": self._ready},
            "/abort_request": {"POST": self._abort_request},
            "/pause_generation": {"POST": self._pause_generation},
            "/continue_generation": {"POST": self._continue_generation},
            "/flush_cache": {"GET": self._flush_cache, "POST": self._flush_cache},
            "/update_weight_version": {"POST": self._update_weight_version},
            "/update_weights_from_disk": {"POST": self._update_weights_from_disk},
        }

    async def handle(self, request: Request) -> Reply:
        """Answer one request; cancelled when its client goes away."""
        state = self._state
        if not state.up:
            return Reply(delivery="reset")
        settings = state.settings
        if not allowed(
            request.path,
            request.authorization,
            api_key=settings.api_key,
            admin_api_key=settings.admin_api_key,
        ):
            state.counters.rejected += 1
            return json_reply({"error": "Unauthorized"}, 401)
        methods = self._routes.get(request.path)
        if methods is None:
            return json_reply({"detail": "Not Found"}, 404)
        handler = methods.get(request.method)
        if handler is None:
            return json_reply({"detail": "Method Not Allowed"}, 405)
        try:
            return await handler(request)
        except asyncio.CancelledError:
            state.counters.disconnected += request.path in GENERATION
            raise
        except ServerLostError:
            return Reply(delivery="reset")
        except BadRequestError as error:
            state.counters.rejected += 1
            return json_reply(openai_error(str(error), error.kind, 400), 400)

    # --- generation -------------------------------------------------------------------------------

    async def _chat(self, request: Request) -> Reply:
        fault = self._state.next_fault()
        if fault is not None and (spoilt := await faults.before_work(fault)) is not None:
            return spoilt
        if request.content_type != "application/json":
            raise BadRequestError(
                "1 validation error: Unsupported Media Type: Only 'application/json' is allowed",
                "Bad Request",
            )
        body = parse_object(request.body)
        ask = parse_chat(body, self._state.settings.context_length, self._state.prompts)
        generated = await self._work(ask, fault)
        reply = chat_reply(ask, generated, str(body.get("model", self._state.served_name)))
        if fault is not None:
            return faults.on_reply(fault, reply, self._state.previous_version)
        return json_reply(reply)

    async def _generate(self, request: Request) -> Reply:
        fault = self._state.next_fault()
        if fault is not None and (spoilt := await faults.before_work(fault)) is not None:
            return spoilt
        limit = self._state.settings.context_length
        try:
            ask = parse_generate(parse_object(request.body), limit, self._state.prompts)
        except BadRequestError as error:  # this route has a shape of its own
            self._state.counters.rejected += 1
            return json_reply({"error": {"message": str(error)}}, 400)
        return json_reply(generate_reply(ask, await self._work(ask, fault)))

    async def _work(self, ask: Ask, fault: Fault | None) -> Generated:
        state = self._state
        await state.accepting.wait()
        say = state.settings.reply
        samples = [
            cut(say(ask.messages, ask.seed, index), ask.stop, ask.max_tokens) for index in range(ask.n)
        ]
        job = state.engine.submit(ask, samples)
        job.deaf = fault is not None and fault.kind == "ignores_abort"
        try:
            generated = await job.done
        finally:
            state.engine.drop(job)
        for sample in generated.samples:
            state.engine.cache.keep(ask.prompt.then(turn_text(sample.text)))
        if state.settings.latency.link_s:
            await asyncio.sleep(state.settings.latency.link_s)
        return generated

    # --- information ------------------------------------------------------------------------------

    async def _models(self, request: Request) -> Reply:
        name = self._state.served_name
        entry = {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "sglang",
            "root": name,
            "parent": None,
            "max_model_len": self._state.settings.context_length,
        }
        return json_reply({"object": "list", "data": [entry]})

    async def _loads(self, request: Request) -> Reply:
        return json_reply(
            {
                "timestamp": datetime.now(UTC).isoformat(),
                "version": "fake",
                "accelerator": None,
                "num_accelerators": 1,
                "loads": [load_of(self._state.settings, self._state.counters, self._state.engine)],
            }
        )

    async def _model_info(self, request: Request) -> Reply:
        state = self._state
        return json_reply(
            {
                "model_path": state.model_path,
                "served_model_name": state.served_name,
                "tokenizer_path": state.settings.model_path,
                "is_generation": True,
                "weight_version": state.weight_version,
                "load_format": "auto",
            }
        )

    async def _server_info(self, request: Request) -> Reply:
        settings = self._state.settings
        return json_reply(
            {
                "model_path": settings.model_path,
                "served_model_name": settings.served_name,
                "max_running_requests": settings.max_running_requests,
                "max_total_tokens": settings.max_total_tokens,
                "version": "fake",
            }
        )

    async def _health(self, request: Request) -> Reply:
        try:
            await asyncio.wait_for(self._state.resumed.wait(), self._state.settings.health_limit_s)
        except TimeoutError:
            return Reply(503)
        return Reply()

    async def _ready(self, request: Request) -> Reply:
        return Reply(200 if self._state.resumed.is_set() else 503)

    # --- control ----------------------------------------------------------------------------------

    async def _abort_request(self, request: Request) -> Reply:
        body = parse_object(request.body)
        if body.get("abort_all"):
            self._state.engine.abort(None)
        elif isinstance(body.get("rid"), str):
            self._state.engine.abort(body["rid"])
        return Reply()

    async def _pause_generation(self, request: Request) -> Reply:
        mode = parse_object(request.body).get("mode", "abort")
        if mode not in PAUSE_MODES:
            expected = "', '".join(PAUSE_MODES)
            raise BadRequestError(f"1 validation error: mode: Input should be '{expected}'", "Bad Request")
        self._state.pause(mode)
        return json_reply({"message": "Generation paused successfully.", "status": "ok"})

    async def _continue_generation(self, request: Request) -> Reply:
        parse_object(request.body)  # a body is required
        self._state.resume()
        return json_reply({"message": "Generation continued successfully.", "status": "ok"})

    async def _flush_cache(self, request: Request) -> Reply:
        try:
            limit = float(request.query.get("timeout", "0"))
        except ValueError:
            raise BadRequestError(
                "1 validation error: timeout: Input should be a number", "Bad Request"
            ) from None
        if not await self._idle(limit):
            return Reply(400, b"Flush cache failed: requests are running.\n", "text/plain")
        self._state.engine.cache.clear()
        return Reply(200, b"Cache flushed.\n", "text/plain")

    async def _idle(self, timeout_s: float) -> bool:
        if timeout_s > 0:
            try:
                await asyncio.wait_for(self._state.engine.idle.wait(), timeout_s)
            except TimeoutError:
                return False
        return not self._state.engine.running  # what waits, or was put back by a retract, holds no cache

    async def _update_weight_version(self, request: Request) -> Reply:
        body = parse_object(request.body)
        version = body.get("new_version")
        if not isinstance(version, str):
            raise BadRequestError("1 validation error: new_version: Field required", "Bad Request")
        if body.get("abort_all_requests", True):
            self._state.engine.abort(None)
        self._state.set_version(version)
        message = f"Weight version updated to {version}"
        return json_reply({"success": True, "message": message, "new_version": version})

    async def _update_weights_from_disk(self, request: Request) -> Reply:
        """Waits for requests in flight unless paused or told to abort them; checks no tensor, like SGLang."""
        state = self._state
        body: dict[str, Any] = parse_object(request.body)
        path, version = body.get("model_path"), body.get("weight_version")
        if not isinstance(path, str):
            raise BadRequestError("1 validation error: model_path: Field required", "Bad Request")
        if not _has_weights(Path(path)):
            return _updated(False, f"Failed to get weights iterator: {path}.")
        if body.get("abort_all_requests"):
            state.engine.abort(None)
        async with state.updating:
            state.accepting.clear()
            try:
                if state.resumed.is_set():
                    await state.engine.idle.wait()
                await asyncio.sleep(state.settings.update_s)
            finally:
                state.accepting.set()
        flush = body.get("flush_cache", True)
        in_use = state.pause_mode == "in_place" and bool(state.engine.running)
        if flush and (in_use or (state.resumed.is_set() and state.holds("flush_refused"))):
            # SGLang has changed the weights by now, and not the version that it tells.
            return _updated(False, UNFLUSHED)
        state.model_path = state.served_name = path
        if isinstance(version, str):
            state.set_version(version)
        if flush:
            state.engine.cache.clear()
        told = f" Weight version updated to {version}." if version else ""
        return _updated(True, f"Succeeded to update model weights.{told}")


UNFLUSHED = (
    "Weights were updated, but the cache was not flushed because requests are still running or queued."
    " Retract or finish them, then call /flush_cache."
)
"""SGLang's words."""


def _has_weights(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.safetensors"))


def _updated(success: bool, message: str) -> Reply:
    body = {"success": success, "message": message, "num_paused_requests": 0}
    return json_reply(body, 200 if success else 400)
