"""A fake server behind HTTP: one aiohttp application that hands every request to the service."""

from __future__ import annotations

import asyncio

from aiohttp import web

from servers.fake.replies import Reply
from servers.fake.service import FakeService, Request

DRIPS = 20
"""Pieces in which a slow body comes."""


def build_app(service: FakeService) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        asked = Request(
            request.method,
            request.path,
            await request.read(),
            request.query,
            request.headers.get("Authorization"),
            request.content_type,
        )
        return await _deliver(await service.handle(asked), request)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def _deliver(reply: Reply, request: web.Request) -> web.StreamResponse:
    headers = dict(reply.headers)
    if reply.content_type is not None:
        headers["Content-Type"] = reply.content_type
    if reply.delivery == "whole":
        return web.Response(body=reply.body, status=reply.status, headers=headers)
    if reply.delivery == "reset":
        _drop(request)
        return web.Response(status=500)  # goes nowhere: the connection is gone
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    if reply.delivery == "cut":
        await response.write(reply.body[: len(reply.body) // 2])
        _drop(request)
        return response
    size = max(1, -(-len(reply.body) // DRIPS))
    for start in range(0, len(reply.body), size):
        await asyncio.sleep(reply.seconds / DRIPS)
        await response.write(reply.body[start : start + size])
    return response


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
