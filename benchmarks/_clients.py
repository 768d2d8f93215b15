"""The ways to ask a server for a completion that benchmarks.client compares.

Each takes the same conversation and gives back the reply's text: building the request, the round trip and
reading the reply are all inside. `way(url, concurrency)` opens it and yields the call.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import Any

import aiohttp
import httpx2
import msgspec

from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.policy import ReActPolicy
from rro_sdk.prompts import react
from rro_sdk.types import Message

Call = Callable[[int], Awaitable[str]]
"""Number of the completion -> text of its reply."""
Way = Callable[[str, int], AbstractAsyncContextManager[Call]]

CONVERSATIONS = 64
SHARD = 4
"""Connections of one httpx2 client in shards: its pool is searched on every request, so few is cheap."""
TIMEOUT_S = 300.0


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message


class _Reply(msgspec.Struct):
    choices: list[_Choice]


def conversation(number: int) -> tuple[Message, ...]:
    """Six messages, about 2,500 characters: instructions, an example, a question, a turn, its result."""
    schema = "\n".join(
        f"CREATE TABLE t{number}_{table} (id INT PRIMARY KEY, customer_id INT, total DECIMAL(10, 2), t TEXT);"
        for table in range(19)
    )
    rows = "\n".join(f"({row}, {row * number % 97}, {row * 3.5:.2f}, 'n{row}')" for row in range(19))
    return (
        react.system_message(f"You work with a MySQL database.\n{schema}"),
        Message("user", "How many customers are there? Answer with one number."),
        Message("assistant", "Thought: I count the rows.\nAction: SELECT COUNT(*) FROM customers"),
        Message(
            "user", f"Observation: [({number},)]\nWhich customers spent most, and how much did they spend?"
        ),
        Message("assistant", "Thought: I look at the orders first.\nAction: SELECT * FROM orders LIMIT 19"),
        Message("user", f"Observation: {rows}"),
    )


_TALKS = [conversation(number) for number in range(CONVERSATIONS)]
_PLAIN: list[list[dict[str, str]]] = [msgspec.to_builtins(list(talk)) for talk in _TALKS]


def _fields(number: int) -> dict[str, Any]:
    """The request, as a client that takes plain objects wants it."""
    return {
        "model": "default",
        "messages": _PLAIN[number % CONVERSATIONS],
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 256,
        "seed": number,
        "stop": list(react.STOP),
    }


@asynccontextmanager
async def sdk(url: str, concurrency: int) -> AsyncIterator[Call]:
    """The whole way of a sampler's call: policy, fleet, retries, transport, parsing of the turn."""
    async with Fleet([url], FleetSettings(concurrency=concurrency, request_timeout_s=TIMEOUT_S)) as fleet:
        policy = ReActPolicy(fleet)

        async def call(number: int) -> str:
            talk = number % CONVERSATIONS
            proposal = await policy.act(_TALKS[talk], seed=number, affinity=f"task-{talk}")
            return proposal.action.text

        yield call


@asynccontextmanager
async def bare_aiohttp(url: str, concurrency: int) -> AsyncIterator[Call]:
    """Post, read and decode with aiohttp: the floor for a client in Python that checks nothing."""
    decode = msgspec.json.Decoder(_Reply).decode
    encode = msgspec.json.Encoder().encode
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, headers={"Content-Type": "application/json"}
    ) as session:

        async def call(number: int) -> str:
            async with session.post(f"{url}/v1/chat/completions", data=encode(_fields(number))) as reply:
                return decode(await reply.read()).choices[0].message.content

        yield call


@asynccontextmanager
async def one_httpx2(url: str, concurrency: int) -> AsyncIterator[Call]:
    """httpx2, one client with a pool as large as the concurrency."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=TIMEOUT_S, verify=_no_tls()) as client:
        yield _httpx_call([client], url)


@asynccontextmanager
async def sharded_httpx2(url: str, concurrency: int) -> AsyncIterator[Call]:
    """httpx2, many clients of few connections each."""
    limits = httpx2.Limits(max_connections=SHARD, max_keepalive_connections=SHARD)
    tls = _no_tls()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx2.AsyncClient(limits=limits, timeout=TIMEOUT_S, verify=tls))
            for _ in range(-(-concurrency // SHARD))
        ]
        yield _httpx_call(clients, url)


@asynccontextmanager
async def one_httpx(url: str, concurrency: int) -> AsyncIterator[Call]:
    """httpx, one client with a pool as large as the concurrency."""
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=TIMEOUT_S, verify=_no_tls()) as client:
        yield _httpx_call([client], url)


def _httpx_call(clients: list[Any], url: str) -> Call:
    decode = msgspec.json.Decoder(_Reply).decode
    encode = msgspec.json.Encoder().encode
    headers = {"Content-Type": "application/json"}

    async def call(number: int) -> str:
        client = clients[number % len(clients)]
        reply = await client.post(
            f"{url}/v1/chat/completions", content=encode(_fields(number)), headers=headers
        )
        return decode(reply.content).choices[0].message.content

    return call


@asynccontextmanager
async def openai_default(url: str, concurrency: int) -> AsyncIterator[Call]:
    """openai's client as it comes, its retries off."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=TIMEOUT_S) as client:
        yield _openai_call(client)


@asynccontextmanager
async def openai_aiohttp(url: str, concurrency: int) -> AsyncIterator[Call]:
    """openai's client on its aiohttp transport."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with DefaultAioHttpClient(limits=limits, timeout=TIMEOUT_S) as carrier:
        client = AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=TIMEOUT_S, http_client=carrier
        )
        yield _openai_call(client)


def _openai_call(client: Any) -> Call:
    async def call(number: int) -> str:
        reply = await client.chat.completions.create(**_fields(number))
        return str(reply.choices[0].message.content)

    return call


def _no_tls() -> ssl.SSLContext:
    """A context without the certificate store, which takes long to load and is of no use on loopback."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def installed(package: str) -> bool:
    return find_spec(package) is not None
