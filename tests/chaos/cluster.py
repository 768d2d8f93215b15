"""Kills what a run on a Ray cluster is made of, and compares it with one that was left in peace."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rro_sdk.checking import check
from rro_sdk.cluster.frames import unpack
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.draws import DrawKey
from rro_sdk.inference.fleet import FleetSettings
from rro_sdk.journal import Journal
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from servers.fake import FakeServer, FakeSettings, Latency
from tests.chaos.child import reply, tasks
from tests.cluster.nodes import Nodes
from tests.conftest import REPOSITORY
from tests.toys import ToyEnv

CONCURRENCY = 6
CHILD_LIMIT_S = 900.0
KINDS = ("actor", "raylet", "driver", "ctrl-c")


@dataclass
class Report:
    """What a series of kills came to."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    asked: int = 0
    needed: int = 0

    def __str__(self) -> str:
        killed = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{sum(self.kills.values())} kills ({killed}) in {self.runs} runs: 0 pairs lost or doubled, every"
            f" export identical; {self.asked} requests for {self.needed} replies, none that was recorded"
        )


class ClusterChaos:
    """A fake server in this process, nodes of Ray on this machine, and drivers in children.

    Args:
        folder: for runs.
        nodes: of the cluster, two with a CPU.
        count: tasks of a run.
        seed: of the kills.
    """

    def __init__(self, folder: Path, nodes: Nodes, count: int, seed: int) -> None:
        self.report = Report()
        self._folder, self._nodes, self._count = folder, nodes, count
        self._random = random.Random(seed)
        self._asked: list[int] = []
        self._expected = b""
        self._needed: Counter[int] = Counter()

        def noted(messages: object, drawn: int | None, index: int) -> str:
            self._asked.append(drawn or 0)
            return reply(messages, drawn, index)

        self._server = FakeServer(
            FakeSettings(reply=noted, latency=Latency(per_token_s=0.003), max_running_requests=64)
        )

    async def __aenter__(self) -> ClusterChaos:
        await self._server.__aenter__()
        whole = self._folder / "whole"
        fleet = FleetSettings(concurrency=CONCURRENCY)
        method = RisingReward(rollouts=3, max_candidates=3)
        async with Sampler(
            ToyEnv(), servers=[self._server.url], method=method, run_dir=whole, fleet=fleet
        ) as sampler:
            async for _ in sampler.events(tasks(self._count)):
                pass
        self._expected = (whole / "pairs.jsonl").read_bytes()
        assert self._expected, "a run without pairs shows nothing"
        self._needed = self._recorded_in(whole)
        (self._folder / "tasks").write_text(str(self._count), encoding="utf-8")
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.__aexit__(None, None, None)

    def some_kinds(self, count: int) -> list[str]:
        return [self._random.choice(KINDS) for _ in range(count)]

    async def one_run(self, kinds: list[str]) -> None:
        """One run, in which each of these is killed in turn, once it got somewhere since the one before."""
        self.report.runs += 1
        run = self._folder / f"run{self.report.runs}"
        shared = SharedFolder(str(self._folder / f"shared{self.report.runs}"))
        self._asked.clear()
        recorded: set[int] = set()
        child = await self._start(run, shared)
        try:
            for kind in kinds:
                since = len(self._asked)
                step = self._random.randint(1, max(2, len(self._needed) // (2 * len(kinds))))
                while len(self._asked) < since + step and child.returncode is None:
                    await asyncio.sleep(0.01)
                if child.returncode is not None:
                    break  # it came to its end before there was anything to kill
                recorded = self._recorded_on(shared)
                before = len(self._asked)
                await self._kill(kind, child)
                self.report.kills[kind] += 1
                if kind in ("driver", "ctrl-c"):
                    code = await self._wait(child)
                    assert code == (130 if kind == "ctrl-c" else -signal.SIGKILL)
                    child = await self._start(run, shared)
                again = recorded & set(self._asked[before:])
                assert not again, f"{len(again)} recorded replies were asked for again after {kind}"
            assert await self._wait(child) == 0
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        found = check(run)
        assert (found.problems, found.owed) == ((), {})
        assert (run / "pairs.jsonl").read_bytes() == self._expected
        assert self._recorded_in(run) == self._needed
        self.report.asked += len(self._asked)
        self.report.needed += len(self._needed)

    async def _kill(self, kind: str, child: asyncio.subprocess.Process) -> None:
        match kind:
            case "driver":
                child.kill()
            case "ctrl-c":
                child.send_signal(signal.SIGINT)
            case "actor":
                actors = [each for node in self._nodes.samplers for each in _actors_of(node)]
                if actors:
                    self._random.choice(actors).kill()
            case _:
                node = self._random.choice(self._nodes.samplers)
                await asyncio.to_thread(self._nodes.kill, node)
                self._nodes.add()
                await asyncio.to_thread(self._nodes.ready)

    async def _start(self, run: Path, shared: SharedFolder) -> asyncio.subprocess.Process:
        if (run / "journal.sqlite").exists():
            arguments = ["resume", str(run), "--concurrency", str(CONCURRENCY)]
        else:
            arguments = [
                *("sample", "--run", str(run), "--engine", "ray", "--shared", shared.url, "-s"),
                *(self._server.url, "--env", "tests.chaos.toy_suite:suite", "--tasks"),
                *(str(self._folder / "tasks"), "-m", "3", "--max-candidates", "3", "--block-tasks", "2"),
                *("--concurrency", str(CONCURRENCY), "--samplers", str(len(self._nodes.samplers))),
            ]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from rro_sdk.cli import main; main()", *arguments),
            *("--address", self._nodes.address, "--quiet"),
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

    async def _wait(self, child: asyncio.subprocess.Process) -> int:
        try:
            async with asyncio.timeout(CHILD_LIMIT_S):
                _, errors = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode in (0, 130, -signal.SIGKILL), errors.decode()
        return child.returncode

    def _recorded_in(self, run: Path) -> Counter[int]:
        """The seed of every recorded reply."""
        with Journal.open(run) as journal:
            return Counter(
                DrawKey(0, task.id, key.step, key.candidate, key.rollout, key.turn).seed()
                for task in tasks(self._count)
                for key, _ in journal.turns_of(task.id)
            )

    def _recorded_on(self, shared: SharedFolder) -> set[int]:
        """The seeds of the replies that are on shared storage now."""
        keys: set[Any] = set()
        for path in Path(shared.url).rglob("*"):
            name = str(path.relative_to(shared.url))
            if path.suffix == ".log":
                for payload in shared.log(name):
                    keys |= {values[:6] for statement, values in unpack(payload) if "INTO turn" in statement}
            elif path.suffix in (".base", ".sqlite") and not path.name.startswith("."):
                uri = f"{path.as_uri()}?mode=ro&immutable=1"
                try:
                    with closing(sqlite3.connect(uri, uri=True)) as image:
                        keys |= set(
                            image.execute("SELECT task_id, attempt, step, candidate, rollout, turn FROM turn")
                        )
                except sqlite3.OperationalError:
                    continue  # tidied away meanwhile: what it held is in a later one
        return {DrawKey(0, task, *where).seed() for task, _, *where in keys}


def _actors_of(node: Any) -> list[psutil.Process]:
    """The samplers' processes of a node."""
    found = []
    for pid in [each.process.pid for kind in node.all_processes.values() for each in kind]:
        try:
            found += [each for each in psutil.Process(pid).children() if "_Actor" in " ".join(each.cmdline())]
        except psutil.NoSuchProcess:
            continue
    return found
