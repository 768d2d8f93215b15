"""vLLM's control routes as vllm 0.32.0 has them under VLLM_SERVER_DEV_MODE=1, without a model.

From its sources: entrypoints/rl/online/api_router.py (pause, resume, versions), entrypoints/serve/dev/
(collective_rpc, reset_prefix_cache), v1/engine/core.py (what the pauses do), entrypoints/openai/models.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

PAUSES = ("abort", "wait", "keep")


class VLLMStub:
    """One server in the caller's loop. `log` holds the control calls in order of arrival."""

    def __init__(self, root: Path, *, name: str = "served") -> None:
        self.url = ""
        self.log: list[str] = []
        self.name = name
        self.root = root
        self.loaded = str(root)
        self.version = "default"
        self.paused: str | None = None
        self.rpc_status = 200
        self.rpc_failures: int | None = None
        """How many loads fail with `rpc_status`; every one if None."""
        self.reset_succeeds = True
        self._running: set[asyncio.Event] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._stale_cache = False
        self._runner: web.AppRunner | None = None

    @property
    def running(self) -> int:
        return len(self._running)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.post("/pause", self._pause),
                web.post("/resume", self._resume),
                web.get("/is_paused", self._is_paused),
                web.post("/abort_requests", self._abort_requests),
                web.post("/collective_rpc", self._collective_rpc),
                web.post("/reset_prefix_cache", self._reset_prefix_cache),
                web.post("/update_weight_version", self._update_weight_version),
                web.get("/weight_info", self._weight_info),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _pause(self, request: web.Request) -> web.Response:
        mode = request.query.get("mode", "abort")
        if mode not in PAUSES:
            return web.json_response({"detail": "Input should be 'abort', 'wait' or 'keep'"}, status=422)
        self.log.append(f"pause {mode}")
        self.paused = mode
        self._resumed.clear()
        if mode == "abort":
            self._abort()
        if mode != "keep":
            await self._idle.wait()
        # `clear_cache` is on by default, and ignored by `keep`.
        self._stale_cache = mode == "keep"
        return web.json_response({"status": "paused"})

    async def _resume(self, request: web.Request) -> web.Response:
        self.log.append("resume")
        self.paused = None
        self._resumed.set()
        return web.json_response({"status": "resumed"})

    async def _is_paused(self, request: web.Request) -> web.Response:
        return web.json_response({"is_paused": self.paused is not None})

    async def _abort_requests(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        assert not body.get("request_ids")
        self.log.append("abort_requests")
        count = len(self._running)
        self._abort()
        return web.json_response({"status": "aborted", "aborted": count})

    async def _collective_rpc(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        assert body["method"] == "reload_weights"
        assert isinstance(body["timeout"], float)
        self.log.append("reload_weights")
        if self.rpc_status != 200 and self.rpc_failures != 0:
            self.rpc_failures = None if self.rpc_failures is None else self.rpc_failures - 1
            self.loaded = "half"
            return web.Response(status=self.rpc_status, text="Internal Server Error")
        self.loaded = body["kwargs"]["weights_path"]
        return web.json_response({"results": [None]})

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        running_too = request.query.get("reset_running_requests", "false") == "true"
        self.log.append("reset_prefix_cache" + (" running" if running_too else ""))
        done = self.reset_succeeds and (running_too or not self._running)
        self._stale_cache = self._stale_cache and not done
        return web.json_response({"success": done})

    async def _update_weight_version(self, request: web.Request) -> web.Response:
        self.version = json.loads(await request.read())["new_version"]
        self.log.append("update_weight_version")
        return web.json_response({"success": True, "new_version": self.version})

    async def _weight_info(self, request: web.Request) -> web.Response:
        return web.json_response({"weight_version": self.version})

    async def _models(self, request: web.Request) -> web.Response:
        # `root` is the folder that the server was started with, whatever was loaded since.
        card = {"id": self.name, "object": "model", "owned_by": "vllm", "root": str(self.root)}
        return web.json_response({"object": "list", "data": [card]})

    async def _chat(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        if body["model"] != self.name:
            error = {"message": "The model does not exist.", "type": "NotFoundError", "code": 404}
            return web.json_response({"error": error}, status=404)
        reason = "stop"
        if body["messages"][0]["content"] == "long" and await self._long():
            reason = "abort"
        await self._resumed.wait()
        assert not self._stale_cache
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.loaded},
            "finish_reason": reason,
        }
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        return web.json_response({"id": "x", "choices": [choice], "usage": usage})

    async def _long(self) -> bool:
        """A request that runs until it is aborted, which gives True, or else for one and a half seconds."""
        aborted = asyncio.Event()
        self._running.add(aborted)
        self._idle.clear()
        try:
            async with asyncio.timeout(1.5):
                await aborted.wait()
        except TimeoutError:
            return False
        finally:
            self._running.discard(aborted)
            if not self._running:
                self._idle.set()
        return True

    def _abort(self) -> None:
        for aborted in self._running:
            aborted.set()
