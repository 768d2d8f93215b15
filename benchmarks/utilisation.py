"""`python -m benchmarks.utilisation`: how busy the sampler keeps a real server, and what its cache gives.

Real SGLang on this machine with a Llama of some two million parameters, so that the server is fast and the
client must keep up. Two figures:

- *tokens/s of the sampler* over the *tokens/s of a closed loop*: a fixed crowd of callers that send the same
  prompts with the same reply lengths in the same order, each the next as soon as its last is answered. The
  crowd is as large as what the sampler had in flight at most. Whole runs are compared, start and tail too.
- *cached share*: prompt tokens that came from the server's prefix cache, against the ideal for the tree
  of prefixes that was asked for: each prompt's longest common prefix with the prompts before it.

The model's own text is noise, so the history is written from the seed instead (a thought of some length and
a move, as in `_simulated`), and a reply is cut at a length drawn from the seed. The tokenizer is byte-level,
so the ideal is counted exactly.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

import rro_sdk as rro
from benchmarks._harness import Metric, at_least, at_most, finish, median_and_spread, ratios
from benchmarks._simulated import Moves, reply, tasks
from benchmarks._small_model import make_small_llama
from rro_sdk.inference.fleet import Fleet
from rro_sdk.inference.wire import ChatRequest, Completion
from rro_sdk.policy import Proposal, ReActTurns
from rro_sdk.prompts import react
from rro_sdk.sampler import TASKS_PER_PLACE
from rro_sdk.types import Message

SLOTS = 32
SHORTEST, LONGEST = 16, 48
"""Reply lengths in tokens, drawn evenly: a short thought and a command."""


class ShortMoves(Moves):
    """The moves world with prompts that fit 2,048 bytes, which are this model's tokens."""

    instructions = "You make moves, one a turn. A move is the word move and a number."
    demonstrations: tuple[Message, ...] = ()


@dataclass
class Recorder(ReActTurns):
    """Asks the fleet for as many tokens as the seed says, and writes a turn of its own into the history."""

    fleet: Fleet
    asked: list[ChatRequest] = field(default_factory=list)
    done: list[Completion] = field(default_factory=list)
    most: int = 0

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        request = ChatRequest(
            messages=tuple(messages),
            model="default",
            temperature=1.0,
            max_tokens=SHORTEST + seed % (LONGEST - SHORTEST + 1),
            seed=seed,
        )
        self.asked.append(request)
        completion = await self.fleet.complete(request, affinity=affinity)
        self.most = max(self.most, self.fleet.in_flight)
        self.done.append(completion)
        return Proposal(react.parse(reply((), seed, 0), "stop"), completion.usage)


@dataclass(frozen=True)
class Run:
    """Generated tokens per second of wall time, and the share of prompt tokens that were cached."""

    pace: float
    cached: float


def measured(done: Sequence[Completion], wall_s: float) -> Run:
    return Run(
        pace=sum(each.usage.completion_tokens for each in done) / wall_s,
        cached=sum(each.usage.cached_tokens for each in done)
        / sum(each.usage.prompt_tokens for each in done),
    )


async def flush(url: str) -> None:
    async with httpx2.AsyncClient(timeout=60.0) as client:
        (await client.post(f"{url}/flush_cache", params={"timeout": 30})).raise_for_status()


async def sample(url: str, count: int) -> tuple[Run, Recorder]:
    async with Fleet([url]) as fleet:
        recorder = Recorder(fleet)
        sampler = rro.Sampler(ShortMoves(), policy=recorder, method=rro.RisingReward(), tasks_in_flight=TASKS)
        async with sampler:
            began = time.monotonic()
            async for _ in sampler.pairs(tasks(count)):
                pass
            return measured(recorder.done, time.monotonic() - began), recorder


TASKS = math.ceil(TASKS_PER_PLACE * SLOTS / 5)
"""As many tasks in flight as `Sampler(servers=...)` takes for these slots and m = 5."""


async def closed_loop(url: str, requests: Sequence[ChatRequest], crowd: int) -> Run:
    done: list[Completion] = []
    left = iter(requests)

    async def caller(fleet: Fleet) -> None:
        while (request := next(left, None)) is not None:
            done.append(await fleet.complete(request))

    async with Fleet([url], rro.FleetSettings(concurrency=crowd)) as fleet:
        began = time.monotonic()
        await asyncio.gather(*(caller(fleet) for _ in range(crowd)))
        return measured(done, time.monotonic() - began)


def ideal_share(prompts: Sequence[str]) -> float:
    """Cached share of a cache without bound that has every earlier prompt, all but the last token of each.

    The longest prefix that a text shares with any of a set is one that it shares with a neighbour in order.
    """
    known: list[str] = []
    cached = 0
    for prompt in prompts:
        place = bisect.bisect(known, prompt)
        shared = [common(prompt, other) for other in known[max(0, place - 1) : place + 1]]
        cached += min(max(shared, default=0), len(prompt) - 1)
        known.insert(place, prompt)
    return cached / sum(map(len, prompts))


def common(one: str, two: str) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(two[:middle]) else (low, middle - 1)
    return low


def rendered(messages: Sequence[Message]) -> str:
    """The prompt under the small model's template: a character for each token, be it a marker or a byte."""
    turns = "".join(f"\ue000{m.role}\n{m.content}\ue001\n" for m in messages)
    return f"{turns}\ue000assistant\n"


async def measure(url: str, count: int, rounds: int) -> tuple[list[Run], list[Run], list[float], int]:
    sdk, loop, ideals, most = [], [], [], 0
    await sample(url, 8)  # the server's first batches are slower
    for _ in range(rounds):
        await flush(url)
        run, recorder = await sample(url, count)
        await flush(url)
        loop.append(await closed_loop(url, recorder.asked, recorder.most))
        sdk.append(run)
        ideals.append(ideal_share([rendered(request.messages) for request in recorder.asked]))
        most = recorder.most
        tokens = sum(len(rendered(request.messages)) for request in recorder.asked)
        if tokens != sum(each.usage.prompt_tokens for each in recorder.done):
            raise AssertionError("the server counts other prompt tokens than the ideal does")
    return sdk, loop, ideals, most


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.utilisation")
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=2)
    got = parser.parse_args(argv)
    from servers.sglang import ServerSettings, SGLangServers

    with tempfile.TemporaryDirectory() as folder:
        model = make_small_llama(Path(folder) / "model", seed=0)
        settings = ServerSettings(
            model=model, max_running_requests=SLOTS, max_total_tokens=131072, log_dir=Path(folder) / "logs"
        )
        servers = SGLangServers(settings)
        servers.start()
        try:
            sdk, loop, ideals, most = asyncio.run(measure(servers.urls[0], got.tasks, got.rounds))
        finally:
            servers.stop()
    busy, busy_spread = median_and_spread(ratios([r.pace for r in sdk], [r.pace for r in loop]))
    missing = [100 * (ideal - run.cached) for ideal, run in zip(ideals, sdk, strict=True)]
    points, points_spread = median_and_spread(missing)
    pace, pace_spread = median_and_spread([run.pace for run in sdk])
    metrics = [
        at_least("sampler over closed loop", busy, "x", 0.95, spread=busy_spread),
        at_most("cached share below the ideal", points, "points", 3, spread=points_spread),
        Metric("sampler", pace, "tokens/s", spread=pace_spread),
        Metric("closed loop", median_and_spread([r.pace for r in loop])[0], "tokens/s"),
        Metric("cached share", 100 * median_and_spread([r.cached for r in sdk])[0], "%"),
        Metric("ideal cached share", 100 * median_and_spread(ideals)[0], "%"),
        Metric("most requests in flight", most),
    ]
    return finish(
        "utilisation",
        metrics,
        f"{busy:.3f} of a saturating closed loop, cached share {points:.1f} points below the ideal",
        settings={"slots": SLOTS, "tasks_in_flight": TASKS, **vars(got)},
    )


if __name__ == "__main__":
    sys.exit(main())
