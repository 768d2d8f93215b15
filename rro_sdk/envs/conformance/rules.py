"""The rules that an environment is held to: one coroutine each.

A rule returns what it saw in a few words, or raises `Broken` with the task and the turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec

from rro_sdk._concurrency import all_of
from rro_sdk.envs.base import Episode
from rro_sdk.envs.conformance.play import (
    Bench,
    Broken,
    NotTried,
    Seen,
    at,
    fresh,
    lasting,
    limit_outcome,
    play,
    same,
)
from rro_sdk.envs.conformance.process import held, longest_pause
from rro_sdk.errors import DataError, EnvironmentFault
from rro_sdk.types import Message, Task

FORKS_AT = 4
"""Prefixes of each walk that are forked: the first few show what more would."""

LEAK_ROUNDS = 20
STRAYS_S = 5.0
"""Time for what a closed environment had running to end."""

LEAK_SLACK = LEAK_ROUNDS // 2
"""What is left over in half of the rounds is a leak; fewer are pools that fill up."""

ODD_DATA = {"db": 3, "goal": [], "seed": "x"}

ODD = (
    ("empty", ""),
    ("spaces", " \t\n"),
    ("control characters", "".join(map(chr, range(32))) + "\x7f\x9b[31m"),
    ("a NUL", "look\x00submit"),
    ("lone surrogates", "\ud800 \udfff"),
    ("1 MB", "a" * 1_000_000),
    ("1 MB of brackets", "(" * 500_000 + ")" * 500_000),
    ("astral and combining signs", "\U0001f9c1\u0301\u202e" * 500),
    ("quotes and escapes", "'\"`\\%s{}$()[];--/**/#"),
    ("a number too long", "9" * 5_000),
)


async def shape(bench: Bench) -> str:
    """Name, step limit, instructions, demonstrations, openings are there and of the right types."""
    env = bench.env
    for name in ("name", "instructions"):
        text = cast(object, getattr(env, name, None))
        if not isinstance(text, str) or not text.strip():
            raise Broken(f"{name} is not a text")
    steps = cast(object, getattr(env, "max_steps", None))
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise Broken("max_steps is not a whole number of 1 or more")
    if not all(isinstance(cast(object, each), Message) for each in env.demonstrations):
        raise Broken("demonstrations holds something that is no Message")
    for task, _ in bench.walks:
        episode = await env.start(task)
        try:
            if not isinstance(cast(object, episode.opening), str):
                raise Broken(f"task {task.id!r}: the opening is not a text")
        finally:
            await episode.close()
    return f"{steps} steps at most"


async def bounds(bench: Bench) -> str:
    """Every observation is well-formed, every outcome in [0, 1]."""
    turns = ended = 0
    for task, commands in bench.walks:
        _, seen = await fresh(bench, task, commands)
        turns += len(seen)
        ended += bool(seen) and seen[-1].observation.done
    return f"{turns} turns, {ended} of {len(bench.walks)} episodes to their end"


async def determinism(bench: Bench) -> str:
    """The same task and commands give the same turns; a task read back from JSON is the same task."""
    for task, commands in bench.walks:
        opening, seen = await fresh(bench, task, commands)
        again = msgspec.json.decode(msgspec.json.encode(task), type=Task)
        other_opening, other = await fresh(bench, again, commands)
        if opening != other_opening:
            raise Broken(f"task {task.id!r}: two starts show different openings")
        same(seen, other, task, 0, "between two runs of the same commands")
    return f"{len(bench.walks)} tasks, each twice"


async def fork_independence(bench: Bench) -> str:
    """A fork goes on as its original would, and neither sees what the other does, not even its closing."""
    forks = 0
    for task, commands in bench.walks:
        _, reference = await fresh(bench, task, commands)
        kept = lasting(commands, reference)
        for turn in range(min(len(kept) + 1, FORKS_AT)):
            await _forked_at(bench, task, commands, reference, turn)
            forks += 4
    return f"{forks} forks"


async def _forked_at(
    bench: Bench, task: Task, commands: Sequence[str], reference: Sequence[Seen], turn: int
) -> None:
    rest, wanted = commands[turn:], reference[turn:]
    root = await bench.env.start(task)
    open_episodes = [root]
    try:
        await play(bench, root, task, commands[:turn])

        async def fork(episode: Episode) -> Episode:
            twin = await episode.fork()
            if twin is episode:
                raise Broken(f"{at(task, turn)}: fork gives the episode itself")
            open_episodes.append(twin)
            return twin

        before = limit_outcome(root, at(task, turn))
        stray, twin, pair = await fork(root), await fork(root), await fork(root)
        if twin.opening != root.opening or limit_outcome(twin, at(task, turn)) != before:
            raise Broken(f"{at(task, turn)}: a fork begins with another opening or limit outcome")
        # One goes astray and is closed, two run side by side, and the fork of a fork after its parent's end.
        await play(bench, stray, task, list(reversed(rest))[:3], turn)
        await stray.close()
        child = await fork(twin)
        first, second = await all_of(play(bench, each, task, rest, turn) for each in (twin, pair))
        await twin.close()
        same(wanted, first, task, turn, "between an episode and its fork")
        same(wanted, second, task, turn, "between two forks that run at once")
        same(wanted, await play(bench, child, task, rest, turn), task, turn, "in the fork of a fork")
        same(wanted, await play(bench, root, task, rest, turn), task, turn, "after what forks did")
    finally:
        for episode in open_episodes:
            await episode.close()


async def step_limit(bench: Bench) -> str:
    """An episode that does not end can be cut off at `max_steps`, and scores something in [0, 1] there."""
    cut = 0
    for task, commands in bench.walks:
        _, reference = await fresh(bench, task, commands)
        kept = lasting(commands, reference) or ["?"]
        steps = bench.env.max_steps
        _, seen = await fresh(bench, task, (kept * (steps // len(kept) + 1))[:steps])
        cut += not (seen and seen[-1].observation.done)
    if not cut:
        raise NotTried("every episode ended before its step limit")
    return f"{cut} episodes of {bench.env.max_steps} turns"


async def after_the_end(bench: Bench) -> str:
    """An episode that has ended refuses further commands with EnvironmentFault; so does its fork."""
    tried = 0
    for task, commands in bench.walks:
        episode = await bench.env.start(task)
        try:
            seen = await play(bench, episode, task, commands)
            if not seen or not seen[-1].observation.done:
                continue
            tried += 1
            twin = await episode.fork()
            for each, what in ((episode, "an episode"), (twin, "the fork of an episode")):
                if not await _refuses(each.step(commands[0])):
                    raise Broken(f"{at(task, len(seen) + 1)}: {what} that has ended takes another command")
            await twin.close()
        finally:
            await episode.close()
    if not tried:
        raise NotTried("no walk reached the end of its episode: give commands that do")
    return f"{tried} ended episodes"


async def after_close(bench: Bench) -> str:
    """Closing twice is safe; a step after it works or is an EnvironmentFault, and others do not notice."""
    for task, commands in bench.walks:
        if not commands:
            continue
        reference = (await fresh(bench, task, commands))[1]
        episode, other = await bench.env.start(task), await bench.env.start(task)
        try:
            await episode.close()
            await episode.close()
            await _refuses(episode.step(commands[0]))
            same(reference, await play(bench, other, task, commands), task, 0, "after another was closed")
        finally:
            await other.close()
    return ""


async def _refuses(call: Awaitable[Any]) -> bool:
    try:
        await call
    except EnvironmentFault:
        return True
    return False


async def odd_actions(bench: Bench) -> str:
    """Whatever an agent writes gives an observation, promptly and the same each time."""
    task, commands = bench.walks[0]
    for name, action in ODD:
        opened = await bench.env.start(task)
        twin = await bench.env.start(task)
        try:
            async with _moving_loop(bench, f"on the action: {name}"):
                try:
                    seen = await play(bench, opened, task, [action])
                    again = await play(bench, twin, task, [action])
                except EnvironmentFault as error:
                    raise Broken(f"the action: {name} raises EnvironmentFault ({error})") from error
                same(seen, again, task, 0, f"between two runs of the action: {name}")
                if not seen[-1].observation.done and commands:
                    await play(bench, opened, task, commands[:1])
        finally:
            await opened.close()
            await twin.close()
    return f"{len(ODD)} actions"


async def bad_tasks(bench: Bench) -> str:
    """A task without the data it needs is a DataError, or a task that can be played."""
    for task in (
        Task("conformance-empty", "?"),
        Task("conformance-odd", "?", {"db": 3, "goal": [], "seed": "x"}),
    ):
        try:
            episode = await bench.env.start(task)
        except DataError as error:
            if task.id not in str(error):
                raise Broken(f"the error for task {task.id!r} does not name it") from error
            continue
        await episode.close()
    return ""


async def concurrency(bench: Bench) -> str:
    """Many episodes at once give what each gives alone, and the event loop goes on meanwhile."""
    alone = [(task, commands, await fresh(bench, task, commands)) for task, commands in bench.walks]
    runs = [alone[number % len(alone)] for number in range(max(bench.concurrency, len(alone)))]
    async with _moving_loop(bench, f"with {len(runs)} episodes at once"):
        found = await all_of(fresh(bench, task, commands) for task, commands, _ in runs)
    for (task, _, (opening, reference)), (other_opening, seen) in zip(runs, found, strict=True):
        if opening != other_opening:
            raise Broken(f"task {task.id!r}: another opening when {len(runs)} episodes run at once")
        same(reference, seen, task, 0, f"when {len(runs)} episodes run at once")
    return f"{len(runs)} episodes at once"


async def cancellation(bench: Bench) -> str:
    """A step that is cancelled harms neither its environment nor the episodes beside it."""
    for task, commands in bench.walks:
        if not commands:
            continue
        reference = (await fresh(bench, task, commands))[1]
        episode = await bench.env.start(task)
        running = asyncio.ensure_future(episode.step(commands[0]))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        await episode.close()
        same(reference, (await fresh(bench, task, commands))[1], task, 0, "after a step was cancelled")
    return ""


async def clean_up(bench: Bench) -> str:
    """Episodes that were closed leave nothing behind: no files, threads, processes or tasks."""

    async def rounds() -> None:
        for number in range(LEAK_ROUNDS):
            task, commands = bench.walks[number % len(bench.walks)]
            episode = await bench.env.start(task)
            await play(bench, episode, task, commands[:1])
            twin = await episode.fork()
            await episode.close()
            if len(commands) > 1:
                await _refuses(play(bench, twin, task, commands[1:2], 1))
            await twin.close()

    await rounds()
    before = held()
    await rounds()
    after = held()
    for what, count in after.items():
        if count - before[what] >= LEAK_SLACK:
            raise Broken(f"{count - before[what]} more {what} after {LEAK_ROUNDS} closed episodes")
    return f"{2 * LEAK_ROUNDS} episodes"


async def closing(bench: Bench) -> str:
    """Closing the environment twice is safe, ends what it runs, and a later use is an EnvironmentFault."""
    task, commands = bench.walks[0]
    left = await bench.env.start(task)
    await play(bench, left, task, commands[:1])
    await bench.env.close()
    await bench.env.close()
    try:
        late = await bench.env.start(task)
    except EnvironmentFault:
        pass
    else:
        await late.close()
    await left.close()
    if strays := await bench.before.strays(STRAYS_S):
        raise Broken(f"{strays} run on after the environment was closed")
    return ""


@asynccontextmanager
async def _moving_loop(bench: Bench, when: str) -> AsyncIterator[None]:
    """Raise `Broken` where the event loop stood still for too long inside."""
    async with longest_pause() as measured:
        yield
    if measured[0] > bench.max_block_s:
        raise Broken(
            f"the event loop stood still for {measured[0]:.1f} s {when}:"
            " run a blocking world in rro_sdk.envs.workers"
        )


RULES: dict[str, Callable[[Bench], Coroutine[Any, Any, str]]] = {
    "shape": shape,
    "bounds": bounds,
    "determinism": determinism,
    "fork independence": fork_independence,
    "step limit": step_limit,
    "after the end": after_the_end,
    "after close": after_close,
    "odd actions": odd_actions,
    "bad tasks": bad_tasks,
    "concurrency": concurrency,
    "cancellation": cancellation,
    "clean-up": clean_up,
    "closing": closing,
}
"""In the order in which they are run; the last one closes the environment."""
