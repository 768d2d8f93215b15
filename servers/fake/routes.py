"""The routes of a fake server, as one aiohttp application."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from servers.fake import faults
from servers.fake.auth import allowed
from servers.fake.generation import generate
from servers.fake.settings import Fault
from servers.fake.state import FakeState
from servers.fake.wire import (
    BadRequestError,
    chat_reply,
    generate_reply,
    openai_error,
    parse_chat,
    parse_generate,
    parse_object,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GENERATION = ("/v1/chat/completions", "/generate")
PAUSE_MODES = ("abort", "retract", "in_place")


def build_app(state: FakeState) -> web.Application:
    routes = _Routes(state)
    app = web.Application(middlewares=[routes.guard], client_max_size=64 << 20)
    app.add_routes(
        [
            web.post("/v1/chat/completions", routes.chat),
            web.post("/generate", routes.generate),
            web.get("/v1/models", routes.models),
            web.get("/v1/loads", routes.loads),
            web.get("/model_info", routes.model_info),
            web.get("/get_model_info", routes.model_info),
            web.get("/server_info", routes.server_info),
            web.get("/health", routes.health),
            web.get("/health_generate", routes.health),
            web.get("/ready", routes.ready),
            web.post("/abort_request", routes.abort_request),
            web.post("/pause_generation", routes.pause_generation),
            web.post("/continue_generation", routes.continue_generation),
            web.get("/flush_cache", routes.flush_cache),
            web.post("/flush_cache", routes.flush_cache),
            web.post("/update_weight_version", routes.update_weight_version),
            web.post("/update_weights_from_disk", routes.update_weights_from_disk),
        ]
    )
    return app


class _Routes:
    def __init__(self, state: FakeState) -> None:
        self._state = state

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keys first, then SGLang's shapes for what aiohttp would answer in its own."""
        settings = self._state.settings
        header = request.headers.get("Authorization")
        keys = {"api_key": settings.api_key, "admin_api_key": settings.admin_api_key}
        if not allowed(request.path, header, **keys):
            self._state.counters.rejected += 1
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            return await handler(request)
        except asyncio.CancelledError:
            self._state.counters.disconnected += request.path in GENERATION
            raise
        except BadRequestError as error:
            self._state.counters.rejected += 1
            return web.json_response(openai_error(str(error), error.kind, 400), status=400)
        except web.HTTPNotFound:
            return web.json_response({"detail": "Not Found"}, status=404)
        except web.HTTPMethodNotAllowed:
            return web.json_response({"detail": "Method Not Allowed"}, status=405)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        fault = self._next_fault()
        if fault is not None and (spoilt := await faults.before_work(fault, request)) is not None:
            return spoilt
        if request.content_type != "application/json":
            raise BadRequestError(
                "1 validation error: Unsupported Media Type: Only 'application/json' is allowed",
                "Bad Request",
            )
        body = await self._json(request)
        ask = parse_chat(body, self._state.settings.context_length)
        generated = await generate(self._state, ask)
        reply = chat_reply(ask, generated, str(body.get("model", self._state.served_name)))
        if fault is not None:
            return await faults.on_reply(fault, request, reply, self._state.previous_version)
        return web.json_response(reply)

    async def generate(self, request: web.Request) -> web.StreamResponse:
        fault = self._next_fault()
        if fault is not None and (spoilt := await faults.before_work(fault, request)) is not None:
            return spoilt
        try:
            ask = parse_generate(await self._json(request), self._state.settings.context_length)
        except BadRequestError as error:  # this route has a shape of its own
            self._state.counters.rejected += 1
            return web.json_response({"error": {"message": str(error)}}, status=400)
        return web.json_response(generate_reply(ask, await generate(self._state, ask)))

    async def models(self, request: web.Request) -> web.Response:
        name = self._state.served_name
        entry = {
            "id": name,
            "object": "model",
            "created": int(time.time()),
            "owned_by": "sglang",
            "root": name,
        }
        limit = self._state.settings.context_length
        return web.json_response(
            {"object": "list", "data": [{**entry, "parent": None, "max_model_len": limit}]}
        )

    async def loads(self, request: web.Request) -> web.Response:
        counters = self._state.counters
        load = {
            "dp_rank": 0,
            "num_running_reqs": counters.running,
            "num_waiting_reqs": counters.waiting,
            "max_running_requests": self._state.settings.max_running_requests,
        }
        return web.json_response({"version": "fake", "loads": [load]})

    async def model_info(self, request: web.Request) -> web.Response:
        state = self._state
        return web.json_response(
            {
                "model_path": state.model_path,
                "served_model_name": state.served_name,
                "tokenizer_path": state.settings.model_path,
                "is_generation": True,
                "weight_version": state.weight_version,
                "load_format": "auto",
            }
        )

    async def server_info(self, request: web.Request) -> web.Response:
        state = self._state
        return web.json_response(
            {
                "model_path": state.settings.model_path,
                "served_model_name": state.settings.served_name,
                "max_running_requests": state.settings.max_running_requests,
                "version": "fake",
            }
        )

    async def health(self, request: web.Request) -> web.Response:
        try:
            await asyncio.wait_for(self._state.resumed.wait(), self._state.settings.health_limit_s)
        except TimeoutError:
            return web.Response(status=503)
        return web.Response()

    async def ready(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self._state.resumed.is_set() else 503)

    async def abort_request(self, request: web.Request) -> web.Response:
        body = await self._json(request)
        if body.get("abort_all"):
            self._state.abort(None)
        elif isinstance(body.get("rid"), str):
            self._state.abort(body["rid"])
        return web.Response()

    async def pause_generation(self, request: web.Request) -> web.Response:
        mode = (await self._json(request)).get("mode", "abort")
        if mode not in PAUSE_MODES:
            expected = "', '".join(PAUSE_MODES)
            raise BadRequestError(f"1 validation error: mode: Input should be '{expected}'", "Bad Request")
        self._state.pause(mode)
        return web.json_response({"message": "Generation paused successfully.", "status": "ok"})

    async def continue_generation(self, request: web.Request) -> web.Response:
        await self._json(request)  # a body is required
        self._state.resume()
        return web.json_response({"message": "Generation continued successfully.", "status": "ok"})

    async def flush_cache(self, request: web.Request) -> web.Response:
        try:
            limit = float(request.query.get("timeout", "0"))
        except ValueError:
            raise BadRequestError(
                "1 validation error: timeout: Input should be a number", "Bad Request"
            ) from None
        if not await self._idle(limit):
            return web.Response(text="Flush cache failed: requests are running.\n", status=400)
        self._state.flush()
        return web.Response(text="Cache flushed.\n")

    async def update_weight_version(self, request: web.Request) -> web.Response:
        body = await self._json(request)
        version = body.get("new_version")
        if not isinstance(version, str):
            raise BadRequestError("1 validation error: new_version: Field required", "Bad Request")
        if body.get("abort_all_requests", True):
            self._state.abort(None)
        self._state.set_version(version)
        message = f"Weight version updated to {version}"
        return web.json_response({"success": True, "message": message, "new_version": version})

    async def update_weights_from_disk(self, request: web.Request) -> web.Response:
        """Waits for requests in flight unless paused or told to abort them; checks no tensor, like SGLang."""
        state = self._state
        body = await self._json(request)
        path, version = body.get("model_path"), body.get("weight_version")
        if not isinstance(path, str):
            raise BadRequestError("1 validation error: model_path: Field required", "Bad Request")
        flush = body.get("flush_cache", True)
        if not _has_weights(Path(path)):
            return _updated(False, f"Failed to get weights iterator: {path}.")
        if body.get("abort_all_requests"):
            state.abort(None)
        if state.resumed.is_set():
            await state.idle.wait()
        elif flush and state.pause_mode == "in_place" and state.running:
            # SGLang has changed the weights by now, and says that it has not.
            state.model_path = state.served_name = path
            return _updated(False, "Failed to flush the cache.")
        state.model_path = state.served_name = path
        if isinstance(version, str):
            state.set_version(version)
        if flush:
            state.flush()
        told = f" Weight version updated to {version}." if version else ""
        return _updated(True, f"Succeeded to update model weights.{told}")

    async def _idle(self, timeout_s: float) -> bool:
        if timeout_s > 0:
            try:
                await asyncio.wait_for(self._state.idle.wait(), timeout_s)
            except TimeoutError:
                return False
        # Requests that a retract put back into the queue do not hold the cache.
        return not self._state.running or self._state.pause_mode == "retract"

    async def _json(self, request: web.Request) -> dict[str, Any]:
        return parse_object(await request.read())

    def _next_fault(self) -> Fault | None:
        counters = self._state.counters
        counters.requests += 1
        fault = self._state.settings.faults.get(counters.requests)
        counters.faults += fault is not None
        return fault


def _has_weights(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.safetensors"))


def _updated(success: bool, message: str) -> web.Response:
    body = {"success": success, "message": message, "num_paused_requests": 0}
    return web.json_response(body, status=200 if success else 400, dumps=json.dumps)
