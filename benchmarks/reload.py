"""What a reload costs those who sample, in each mode, on a real SGLang with requests in flight.

    python -m benchmarks.reload

Samplers ask a fleet for completions, each as soon as its last one came. Their transport reads SGLang's
stream, so that the time of every token is known. Reloads alternate between the modes, with a window of the
same length without one between them.

- load: the seconds for which the server itself says that it loaded weights (weight_load_duration_seconds).
- pause: the longest time in which no sampler got a token, from the call of `reload_weights` until two seconds
  after its return, less the load. The longest such time of a window without a reload stands beside it.
- cost: the tokens that the window had fewer than its neighbours without a reload, in seconds of their pace,
  less the load. It counts what the pause does not: half-empty batches of a drain, and prompts computed again.
- lost: samples that ended in an error, came back cut, or were asked for again.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import aiohttp
import click
import msgspec

from benchmarks._harness import Metric, at_most, below, finish, median_and_spread
from benchmarks._small_model import make_small_llama
from rro_sdk.errors import ServerError, ServerUnreachable
from rro_sdk.inference.engines import ReloadMode
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message
from servers.settings import ServerSettings
from servers.sglang import SGLangServers

PAUSE_BAR_S = 0.3
NEW_VERSION_S = 120.0
"""By when a reply of the new weights must have come, or the reload did not work."""

AFTER_S = 2.0
"""How long after a reload its pause is still looked for: the first batch prefills every prompt again."""

LARGE_PIECES = ("--chunked-prefill-size", "4096")
"""For the second server; one that `servers` starts on a CPU computes 1,024 prompt tokens at once."""

NOTHING = "no reload"


class StreamingTransport(Transport):
    """Carries completions as streams of /generate, and remembers when tokens came and how many."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[tuple[float, int]] = []

    async def request(
        self, method: str, server: str, path: str, body: bytes | None, timeout_s: float
    ) -> bytes:
        if path != "/v1/chat/completions" or body is None:
            return await super().request(method, server, path, body, timeout_s)
        asked = msgspec.json.decode(body)
        sent = {
            "text": "\n".join(message["content"] for message in asked["messages"]),
            "sampling_params": {
                "temperature": 1.0,
                "max_new_tokens": asked["max_tokens"],
                "ignore_eos": True,
            },
            "rid": asked["rid"],
            "stream": True,
        }
        last: dict[str, Any] = {}
        seen = 0
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.post(
                f"{server}/generate", data=msgspec.json.encode(sent), timeout=timeout
            ) as reply:
                async for line in reply.content:
                    if not line.startswith(b"data: {"):
                        continue
                    last = msgspec.json.decode(line[6:])
                    count = last["meta_info"].get("completion_tokens", seen)
                    if count > seen:
                        self.tokens.append((time.perf_counter(), count - seen))
                        seen = count
        except aiohttp.ClientError as error:
            raise ServerUnreachable(f"{server}: {type(error).__name__}", url=server) from None
        meta = last["meta_info"]
        return msgspec.json.encode(
            {
                "choices": [
                    {"message": {"content": last["text"]}, "finish_reason": meta["finish_reason"]["type"]}
                ],
                "usage": {
                    "prompt_tokens": meta.get("prompt_tokens", 0),  # none in what was cut while it waited
                    "completion_tokens": meta.get("completion_tokens", 0),
                },
                "metadata": {"weight_versions": meta.get("weight_versions", [])},
            }
        )


@dataclass(slots=True)
class Samplers:
    """What the samplers got and lost so far."""

    finished: int = 0
    lost: int = 0
    mixed: int = 0
    versions: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Window:
    """One reload, or the same time without one. Times in seconds, pace in tokens per second."""

    mode: str
    gap_s: float
    length_s: float
    tokens: int
    load_s: float = 0.0
    reload_s: float = 0.0
    lost: int = 0
    mixed: int = 0

    @property
    def pace(self) -> float:
        return self.tokens / self.length_s

    @property
    def pause_s(self) -> float:
        return max(0.0, self.gap_s - self.load_s)


def gap_and_tokens(tokens: Sequence[tuple[float, int]], begin: float, end: float) -> tuple[float, int]:
    """The longest time without a token that touches [begin, end], and how many tokens came within it."""
    times = [at for at, _ in tokens]
    within = [at for at in times if begin <= at <= end]
    before = [at for at in times if at < begin]
    after = [at for at in times if at > end]
    marks = [before[-1] if before else begin, *within, after[0] if after else end]
    longest = max(late - early for early, late in itertools.pairwise(marks))
    return longest, sum(count for at, count in tokens if begin <= at <= end)


async def load_seconds(url: str) -> float:
    """How long the server's last update from disk took, by its own clock."""
    async with Transport() as transport:
        text = (await transport.get(url, "/metrics", timeout_s=30)).decode()
    for line in text.splitlines():
        if line.startswith("sglang:weight_load_duration_seconds{") and 'source="disk"' in line:
            return float(line.rpartition(" ")[2])
    raise ServerError(f"server {url} does not tell its weight_load_duration_seconds", url=url)


@asynccontextmanager
async def sampling(fleet: Fleet, count: int, seed: int) -> AsyncGenerator[Samplers, None]:
    """`count` samplers until the block ends: 180 prompt tokens in common, 50 of their own, 16 to 64 new."""
    seen = Samplers()
    stop = asyncio.Event()

    async def sample(number: int) -> None:
        draw = random.Random(seed * 1000 + number)
        turn = 0
        while not stop.is_set():
            turn += 1
            own = "".join(draw.choices("abcdefgh ", k=50))
            request = ChatRequest(
                messages=(Message("system", "s" * 180), Message("user", own)),
                model="m",
                temperature=1.0,
                max_tokens=draw.randint(16, 64),
            )
            try:
                completion = await fleet.complete(request, affinity="all")
            except ServerError:
                seen.lost += 1
                continue
            seen.finished += 1
            seen.mixed += len(completion.weight_versions) > 1
            seen.versions.update(completion.weight_versions)
            seen.news.set()

    tasks = [asyncio.create_task(sample(number)) for number in range(count)]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def measure(
    url: str, models: Sequence[Path], rounds: int, samplers: int, quiet_s: float
) -> list[Window]:
    windows: list[Window] = []
    carrier = StreamingTransport()
    settings = FleetSettings(concurrency=samplers)
    async with Fleet([url], settings, transport=carrier) as fleet, sampling(fleet, samplers, 1) as seen:
        await fleet.check()
        await asyncio.sleep(4 * quiet_s)  # the first batches fill the cache and warm the server
        turn = 0
        for round_number in range(rounds):
            modes: list[ReloadMode] = list(get_args(ReloadMode))
            random.Random(round_number).shuffle(modes)
            for mode in modes:
                windows.append(await quiet(carrier, quiet_s))
                turn += 1
                windows.append(await reloaded(fleet, carrier, seen, models[turn % 2], mode))
                click.echo(f"  {windows[-1]}", err=True)
        windows.append(await quiet(carrier, quiet_s))
    return windows


async def quiet(carrier: StreamingTransport, seconds: float) -> Window:
    carrier.tokens.clear()
    begin = time.perf_counter()
    await asyncio.sleep(seconds)
    end = time.perf_counter()
    gap, tokens = gap_and_tokens(carrier.tokens, begin, end)
    return Window(NOTHING, gap, end - begin, tokens)


async def reloaded(
    fleet: Fleet, carrier: StreamingTransport, seen: Samplers, model: Path, mode: ReloadMode
) -> Window:
    carrier.tokens.clear()
    lost, mixed = seen.lost + fleet.retries, seen.mixed
    begin = time.perf_counter()
    report = await reload_weights(fleet.urls, model, ReloadSettings(mode=mode), gate=fleet)
    returned = time.perf_counter()
    report.raise_for_failures()
    seen.versions.clear()
    await asyncio.sleep(AFTER_S)
    end = time.perf_counter()
    # The first reply that the new weights made may take longer than the window: what was cut goes on first.
    async with asyncio.timeout(NEW_VERSION_S):
        while report.weight_version not in seen.versions:
            await seen.news.wait()
            seen.news.clear()
    gap, tokens = gap_and_tokens(carrier.tokens, begin, end)
    return Window(
        mode,
        gap,
        end - begin,
        tokens,
        load_s=await load_seconds(fleet.urls[0]),
        reload_s=returned - begin,
        lost=seen.lost + fleet.retries - lost,
        mixed=seen.mixed - mixed,
    )


def costs(windows: Sequence[Window], mode: str) -> list[float]:
    """Seconds of its neighbours' pace that each window of a mode fell short by, beyond the load."""
    return [
        here.length_s - here.tokens / statistics.mean((before.pace, after.pace)) - here.load_s
        for before, here, after in zip(windows, windows[1:], windows[2:], strict=False)
        if here.mode == mode
    ]


def metrics(windows: Sequence[Window]) -> list[Metric]:
    """Of the server that the bars are for."""
    idle = [window for window in windows if window.mode == NOTHING]
    found = []
    for mode in get_args(ReloadMode):
        of_mode = [window for window in windows if window.mode == mode]
        pause, pauses = median_and_spread([window.pause_s for window in of_mode])
        found.append(below(f"{mode}: pause beyond the load", pause, "s", PAUSE_BAR_S, spread=pauses))
        lost = sum(window.lost for window in of_mode)
        if mode == "abort":
            found.append(Metric("abort: samples cut and drawn again", lost, ""))
        else:
            found.append(at_most(f"{mode}: samples lost", lost, "", 0))
        found.append(Metric(f"{mode}: samples of two versions", sum(window.mixed for window in of_mode)))
        for name, values in (
            ("cost beyond the load", costs(windows, mode)),
            ("load", [window.load_s for window in of_mode]),
            ("from call to return", [window.reload_s for window in of_mode]),
        ):
            middle, spread = median_and_spread(values)
            found.append(Metric(f"{mode}: {name}", middle, "s", spread=spread))
    gap, gaps = median_and_spread([window.gap_s for window in idle])
    found.append(Metric("no reload: longest time without a token", gap, "s", spread=gaps))
    pace, paces = median_and_spread([window.pace for window in idle])
    found.append(Metric("no reload: pace", pace, "tokens/s", spread=paces))
    return found


def large_pieces(windows: Sequence[Window]) -> list[Metric]:
    """Of the other server: the pauses alone, and no bars."""
    found = []
    for mode in get_args(ReloadMode):
        pause, spread = median_and_spread([window.pause_s for window in windows if window.mode == mode])
        name = f"pieces of 4,096 tokens: {mode}: pause beyond the load"
        found.append(Metric(name, pause, "s", spread=spread))
    pace, spread = median_and_spread([window.pace for window in windows if window.mode == NOTHING])
    found.append(Metric("pieces of 4,096 tokens: no reload: pace", pace, "tokens/s", spread=spread))
    return found


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Reloads in each mode.")
@click.option("--samplers", default=32, show_default=True, type=click.IntRange(1), help="Requests in flight.")
@click.option("--quiet-s", default=3.0, show_default=True, help="Length of a window without a reload.")
def main(rounds: int, samplers: int, quiet_s: float) -> None:
    """Reload a real SGLang under load, in each mode in turn."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    windows: dict[tuple[str, ...], list[Window]] = {}
    with tempfile.TemporaryDirectory(prefix="rro-reload-") as folder:
        models = [make_small_llama(Path(folder) / f"weights-{seed}", seed=seed) for seed in (0, 1)]
        for extra_args in ((), LARGE_PIECES):
            servers = SGLangServers(
                ServerSettings(
                    model=models[0],
                    dtype="float32",
                    max_running_requests=samplers,
                    log_dir=Path(folder),
                    extra_args=extra_args,
                )
            )
            servers.start()
            try:
                windows[extra_args] = asyncio.run(measure(servers.urls[0], models, rounds, samplers, quiet_s))
            finally:
                servers.stop()
    found = metrics(windows[()]) + large_pieces(windows[LARGE_PIECES])
    values = {metric.metric: metric.value for metric in found}
    line = ", ".join(
        f"{mode} pauses {values[f'{mode}: pause beyond the load']:.2f} s" for mode in get_args(ReloadMode)
    )
    line += f"; {values['drain: samples lost'] + values['retract: samples lost']:g} samples lost"
    sys.exit(
        finish(
            "reload",
            found,
            line,
            settings={
                "rounds": rounds,
                "samplers": samplers,
                "quiet_s": quiet_s,
                "model": "4 layers, 192 wide",
            },
            packages=("sglang",),
        )
    )


if __name__ == "__main__":
    main()
