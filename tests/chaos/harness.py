"""Kills a run again and again, resumes it, and compares it with one that was left in peace."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from rro_sdk.checking import check
from rro_sdk.journal import Journal, never_began
from rro_sdk.recording import Place, place
from servers.fake import FakeServer, FakeSettings, Latency
from tests.chaos.child import POINTS, reply, tasks

CHILD_LIMIT_S = 120.0


@dataclass
class Report:
    """What a series of kills came to. A request is in flight until its reply is recorded."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    repaid: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    def __str__(self) -> str:
        killed = ", ".join(f"{count} at {point}" for point, count in sorted(self.kills.items()))
        return (
            f"{sum(self.kills.values())} kills ({killed}) in {self.runs} runs: every export identical;"
            f" 0 recorded replies were asked for again; {self.in_flight} requests were in flight, at most"
            f" {self.most_in_flight} at one kill, and {self.repaid} of them were paid again"
        )


class Chaos:
    """A fake server in this process, and children that run against it."""

    def __init__(self, folder: Path, count: int, seed: int) -> None:
        self.report = Report()
        self._folder, self._count = folder, count
        self._random = random.Random(seed)
        self._asked: list[int] = []
        self._expected = b""
        self._whole: dict[int, tuple[str, Place]] = {}

        def noted(messages: object, drawn: int | None, index: int) -> str:
            self._asked.append(drawn or 0)
            return reply(messages, drawn, index)

        self._server = FakeServer(
            FakeSettings(reply=noted, latency=Latency(per_token_s=0.001), max_running_requests=64)
        )

    async def __aenter__(self) -> Chaos:
        await self._server.__aenter__()
        assert await self._child(self._folder / "whole") == 0
        self._expected = (self._folder / "whole" / "pairs.jsonl").read_bytes()
        assert self._expected, "a run without pairs shows nothing"
        self._whole = self._recorded(self._folder / "whole")
        assert sorted(self._whole) == sorted(self._asked), "left in peace, nothing is asked twice"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.__aexit__(None, None, None)

    async def one_run(self, points: list[tuple[str, int]]) -> None:
        """Kill a new run at each of the points in turn, then let it end, and compare."""
        self.report.runs += 1
        run = self._folder / f"run{self.report.runs}"
        recorded: set[int] = set()
        lost: set[int] = set()
        for point, count in points:
            self._asked.clear()
            ended = await self._child(run, point, count)
            again = recorded & set(self._asked)
            assert not again, f"{len(again)} recorded replies were asked for again"
            self.report.repaid += len(lost & set(self._asked))
            if ended == 0:
                break
            assert ended == -signal.SIGKILL, f"the child ended with {ended}"
            self.report.kills[point] += 1
            now = set(self._recorded(run))
            assert recorded <= now, "what was recorded stays"
            cut = set(self._asked) - now
            assert len({self._whole[seed] for seed in cut}) == len(cut), (
                "a rollout lost more than one request"
            )
            self.report.in_flight += len(cut)
            self.report.most_in_flight = max(self.report.most_in_flight, len(cut))
            lost, recorded = (lost | cut) - now, now
            if not never_began(run):
                # Killed after its last decision, a run lacks its export until it is resumed.
                assert [
                    each for each in check(run).problems if "resume the run to make it anew" not in each
                ] == []
        else:
            self._asked.clear()
            assert await self._child(run) == 0
            assert not recorded & set(self._asked)
            self.report.repaid += len(lost & set(self._asked))
        found = check(run)
        assert (found.problems, found.owed) == ((), {})
        assert (run / "pairs.jsonl").read_bytes() == self._expected
        assert self._recorded(run) == self._whole
        shutil.rmtree(run)

    def random_points(self, most: int) -> list[tuple[str, int]]:
        """A life of up to `most` kills: at instants of any kind, mostly by the clock."""
        kinds = ["instant"] * len(POINTS) + list(POINTS)
        return [self._point(self._random.choice(kinds)) for _ in range(self._random.randint(1, most))]

    def named_points(self) -> list[tuple[str, int]]:
        """Every named point once, at a random passage."""
        return [self._point(point) for point in POINTS]

    def _point(self, kind: str) -> tuple[str, int]:
        most = {"instant": len(self._whole), "rename.before": 1, "rename.after": 1}.get(kind, 60)
        return kind, self._random.randint(1, most)

    def _recorded(self, run: Path) -> dict[int, tuple[str, Place]]:
        """The rollout, or candidate, of every recorded reply, by its seed."""
        if never_began(run):
            return {}
        found = {}
        with Journal.open(run) as journal:
            for task in tasks(self._count):
                for key, _ in journal.turns_of(task.id):
                    found[replace(key, attempt=0).seed()] = (task.id, place(key))
        return found

    async def _child(self, run: Path, point: str = "", count: int = 0) -> int:
        """Run a child to its end, which may be a kill: its own, or ours once so many requests were made."""
        arguments = [self._server.url, str(run), str(self._count)]
        if point and point != "instant":
            arguments += [point, str(count)]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.child", *arguments, stderr=asyncio.subprocess.PIPE
        )
        ended = asyncio.create_task(child.communicate())
        try:
            async with asyncio.timeout(CHILD_LIMIT_S):
                if point == "instant":
                    while len(self._asked) < count and not ended.done():
                        await asyncio.sleep(0.001)
                    # Between two requests as likely as within one.
                    await asyncio.sleep(self._random.random() * 0.02)
                    if not ended.done():
                        child.kill()
                _, errors = await ended
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        code = child.returncode or 0
        assert code in (0, -signal.SIGKILL), errors.decode()
        return code
