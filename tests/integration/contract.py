"""What SGLang promises, as checks that any server can be put to."""

from __future__ import annotations

from typing import Any

import httpx2

LIMIT_S = 120.0
"""Of one request: the real server shares two CPU cores with whatever else runs."""

CONTROL_ROUTES = (
    "/abort_request",
    "/continue_generation",
    "/flush_cache",
    "/pause_generation",
    "/update_weight_version",
    "/update_weights_from_disk",
)


def client(url: str, key: str | None = None) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=LIMIT_S, trust_env=False)


async def chat(server: httpx2.AsyncClient, content: str, **more: Any) -> dict[str, Any]:
    """One chat completion, greedy and short unless told otherwise."""
    body = {
        "model": "any",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 4,
    }
    reply = await server.post("/v1/chat/completions", json={**body, **more})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def check_keys(url: str, api_key: str, admin_api_key: str) -> None:
    """Which key opens what, for a server that has both."""
    async with client(url) as nobody, client(url, api_key) as user, client(url, admin_api_key) as admin:
        for path in ("/health", "/ready"):
            assert (await nobody.get(path)).status_code == 200
        for stranger in (nobody, admin):
            for path in ("/model_info", "/server_info", "/v1/models", "/v1/loads", "/nowhere"):
                reply = await stranger.get(path)
                assert (reply.status_code, reply.json()) == (401, {"error": "Unauthorized"}), path
            for path in ("/generate", "/v1/chat/completions"):
                assert (await stranger.post(path, json={})).status_code == 401
        for stranger in (nobody, user):
            for path in CONTROL_ROUTES:
                reply = await stranger.post(path, json={})
                assert (reply.status_code, reply.json()) == (401, {"error": "Unauthorized"}), path
        assert (await user.get("/model_info")).status_code == 200
        told = (await user.get("/server_info")).text
        assert api_key not in told
        assert admin_api_key not in told
        assert (await chat(user, "hello"))["choices"]
        assert (await admin.post("/flush_cache", params={"timeout": 10})).status_code == 200
