"""The run page on loopback: read-only, GET alone, and for browsers that asked for this machine.

A page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding): whoever asks under another name
than loopback's is refused. What models wrote reaches the page as JSON and is shown as text; should that ever
fail, the Content-Security-Policy lets no script run but ours.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar, get_args

import msgspec
from aiohttp import web

from rro_sdk.errors import ConfigError, RROError
from rro_sdk.page.index import TaskQuery
from rro_sdk.page.single_file import assets
from rro_sdk.page.source import Part, Runs

P = ParamSpec("P")
T = TypeVar("T")

HOST = "127.0.0.1"
NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What loopback is called; with any port, so that an SSH tunnel may have its own."""

CLOSE_S = 1.0
"""How long answers that are under way may take when the server is stopped."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


class PageServer:
    """Serves the page of one run or two, from `async with` to its end.

    Args:
        runs: what it shows; the caller closes it.
        port: to listen on; 0 takes a free one.
    """

    def __init__(self, runs: Runs, port: int = 0) -> None:
        self._runs = runs
        self._port = port
        self._assets = assets()
        self._site: web.TCPSite | None = None
        app = web.Application(middlewares=[_guard])
        app.router.add_get("/", self._index, allow_head=False)
        app.router.add_get("/static/{name}", self._asset, allow_head=False)
        for name, answer in {
            "runs": self._about,
            "progress": self._progress,
            "figures": self._figures,
            "tasks": self._tasks,
            "task": self._task,
            "replies": self._replies,
        }.items():
            app.router.add_get(f"/api/{name}", answer, allow_head=False)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_S)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._port}/"

    async def __aenter__(self) -> PageServer:
        """Begin to listen.

        Raises:
            ConfigError: the port cannot be had.
        """
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, HOST, self._port)
        try:
            await self._site.start()
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            reason = getattr(error, "strerror", None) or str(error)
            where = f"cannot listen on port {self._port}"
            raise ConfigError(f"{where}: {reason}; choose another --port") from None
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        return _file("index.html", self._assets["index.html"])

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._assets:
            raise web.HTTPNotFound
        return _file(name, self._assets[name])

    async def _about(self, request: web.Request) -> web.Response:
        return _json(await aside(self._runs.runs))

    async def _progress(self, request: web.Request) -> web.Response:
        return _json(await aside(self._runs.progress))

    async def _figures(self, request: web.Request) -> web.Response:
        try:
            part: Part = msgspec.convert(request.query.get("part", "all"), Part)
        except msgspec.ValidationError:
            raise ConfigError(f"figures come in the parts {', '.join(get_args(Part))}") from None
        return _json(await aside(self._runs.figures, self._run(request), part))

    async def _tasks(self, request: web.Request) -> web.Response:
        try:
            query = msgspec.convert(dict(request.query), TaskQuery, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"no such page of tasks: {error}") from None
        return _json(await aside(self._runs.tasks, query))

    async def _task(self, request: web.Request) -> web.Response:
        return _json(await aside(self._runs.task, request.query.get("id", "")))

    async def _replies(self, request: web.Request) -> web.Response:
        try:
            attempt, step, candidate, rollout = map(int, request.query.get("where", "").split("."))
        except ValueError:
            raise ConfigError("replies are asked for by where=ATTEMPT.STEP.CANDIDATE.ROLLOUT") from None
        where = attempt, step, candidate, rollout
        task_id = request.query.get("id", "")
        return _json(await aside(self._runs.replies, self._run(request), task_id, where))

    def _run(self, request: web.Request) -> int:
        text = request.query.get("run", "0")
        if text not in map(str, range(len(self._runs))):
            raise ConfigError(f"there is no run {text!r} here")
        return int(text)


async def aside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run something in a thread that nobody waits for at the end: going through a large run takes a while."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def give(how: Callable[..., Any], *what: object) -> None:
        if not answer.done():
            how(*what)

    def work() -> None:
        told: tuple[Any, ...] = (answer.cancel,)  # what nobody expects: the thread's traceback says why
        try:
            told = answer.set_result, function(*args, **kwargs)
        except RROError as error:
            told = answer.set_exception, error
        finally:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(give, *told)

    threading.Thread(target=work, name="rro-view", daemon=True).start()
    return await answer


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whom we answer, how errors look, and the headers of every answer."""
    response: web.StreamResponse
    name = request.headers.get("Host", "").rpartition(":")
    if (name[0] if name[0] and name[2].isdecimal() else request.headers.get("Host", "")) not in NAMES:
        response = web.Response(status=403, text="this page is for the machine that it runs on\n")
    else:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.reason}\n", headers=_allow(error))
        except RROError as error:
            response = _json({"error": str(error)}, status=400 if isinstance(error, ConfigError) else 500)
    response.headers.update(HEADERS)
    return response


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def _file(name: str, text: str) -> web.Response:
    return web.Response(text=text, content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8")


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json", status=status)
