"""Runs the experiment, stage by stage and seed by seed; whatever a kill left is taken up again.

    seed:  [few-shot evaluation]  SFT  evaluation  sampling by every method  then per method and variant:
           DPO  reload  evaluation

All of a seed's methods sample with the same SFT weights on the same tasks. A stage's result is one file;
sampling goes on from its journal, and a checkpoint that is whole is not made again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from rro_sdk._concurrency import all_of
from rro_sdk._numbers import exact_mean
from rro_sdk.checkpoint import describe
from rro_sdk.envs.base import Environment
from rro_sdk.envs.registry import load_tasks, make_environment
from rro_sdk.errors import ConfigError, ServerError
from rro_sdk.evaluation import play
from rro_sdk.fingerprint import difference, model_fingerprints
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.journal.lock import RunLock
from rro_sdk.methods import Experts, Method, RisingReward, TreeMethod
from rro_sdk.policy import ReActPolicy
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task, TaskFailed
from trainers.iterate.serving import Keys, Policy, PolicyServers
from trainers.iterate.training import Train, train_once
from trainers.process import train_dpo, train_sft
from trainers.rows import file_sha256
from trainers.table1.accounting import account
from trainers.table1.arms import ARMS, Arm
from trainers.table1.results import (
    FEW_SHOT,
    SFT,
    Evaluated,
    Sampled,
    SeedResult,
    Thirds,
    Trained,
    read,
    write,
)
from trainers.table1.settings import ANCHOR, Table1Settings
from trainers.tiny import train_tiny

BATCH = 16
"""Tasks by which a cheap method goes on towards its budget of tokens."""

_ROUND = 1_000_003
"""Between the seeds of two rounds of drawing: more than an experiment has seeds."""

T = TypeVar("T")


class Experiment:
    """One experiment in its folder.

    Args:
        settings: what is run.
        say: told a line per stage.
        keys: bearer tokens of the servers.
        train_sft, train_dpo: the trainers.

    Attributes:
        made_of: content hashes of what the experiment reads, once it runs.

    Raises:
        ConfigError: the folder holds an experiment with other settings, which is named.
    """

    def __init__(
        self,
        settings: Table1Settings,
        say: Callable[[str], None],
        *,
        keys: Keys | None = None,
        train_sft: Train = train_sft,
        train_dpo: Train = train_dpo,
    ) -> None:
        self._settings = settings
        self._say = say
        self._keys = keys or Keys()
        self._trainers = train_sft, train_dpo
        self._env = partial(make_environment, settings.env, settings.env_options)
        explored, held_out, _ = (str(settings.tasks / file) for file in settings.files)
        self._tasks = load_tasks(settings.env, explored, settings.env_options)
        test = load_tasks(settings.env, held_out, settings.env_options)
        self._held_out = test[: settings.held_out]
        self._experts = Experts.read(settings.experts)
        self.made_of: dict[str, str] = {}
        for name, wanted, there in (
            ("explore", settings.explore, self._tasks),
            ("held_out", settings.held_out, test),
        ):
            if wanted > len(there):
                raise ConfigError(f"{name} is {wanted}, and there are {len(there)} tasks")
        self._refuse_without_experts()

    def _refuse_without_experts(self) -> None:
        """A method would set such tasks aside, and explore others than the rest."""
        given = self._settings
        needing = [ARMS[name].title for name in given.arms if ARMS[name].experts]
        explored = self._tasks if "tokens" in given.variants else self._tasks[: given.explore]
        missing = [task.id for task in explored if task.id not in self._experts.turns]
        if needing and missing:
            raise ConfigError(
                f"{len(missing)} of {len(explored)} tasks have no expert trajectory in {given.experts},"
                f" {missing[0]} the first of them, and {needing[0]} needs one each: give theirs, or leave"
                " the method out"
            )

    async def run(self) -> list[SeedResult]:
        """Run every seed that is not finished.

        Raises:
            RROError: a stage failed; run again, it goes on there.
        """
        gate = asyncio.Semaphore(self._settings.parallel)
        async with self._env() as env:
            self.made_of = _made_of(self._settings, self._experts, env.data_digest)
        _claim(self._settings, self.made_of)
        lock = RunLock.take(self._settings.out)
        try:
            return await self._seeds(gate)
        finally:
            lock.release()

    async def _seeds(self, gate: asyncio.Semaphore) -> list[SeedResult]:
        async def one(number: int) -> SeedResult:
            async with gate, self._env() as env:
                work = _Work(env, self._tasks, self._held_out, self._experts, self._keys, *self._trainers)
                return await _Seed(self._settings, number, work, self._say).run()

        return await all_of(one(number) for number in range(self._settings.seeds))


@dataclass(frozen=True, slots=True)
class _Work:
    """What the stages of every seed work with."""

    env: Environment
    tasks: Sequence[Task]
    held_out: Sequence[Task]
    experts: Experts
    keys: Keys
    train_sft: Train
    train_dpo: Train


@dataclass(frozen=True, slots=True)
class _Seed:
    settings: Table1Settings
    number: int
    work: _Work
    say: Callable[[str], None]

    @property
    def folder(self) -> Path:
        return self.settings.out / f"seed-{self.number}"

    async def run(self) -> SeedResult:
        if (done := read(self.folder / "result.json", SeedResult)) is not None:
            return done
        evaluated: dict[str, Evaluated] = {}
        sampled: dict[str, Sampled] = {}
        trained: dict[str, Trained] = {}
        thirds: dict[str, Thirds] = {}
        drawn: dict[str, Evaluated] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        base = await self._base()
        table = self.settings.servers_table
        async with PolicyServers(table, self.work.keys, self.folder / "logs") as servers:
            await servers.check(base.checkpoint)
            start = await self._sft(base)
            evaluated[FEW_SHOT] = await self._evaluated(FEW_SHOT, base, servers)
            evaluated[SFT] = await self._evaluated(SFT, start, servers)
            await self._draw(SFT, start, servers, drawn)
            for name in self._order():
                await self._explore(name, start, servers, sampled)
            if self.settings.thirds:
                thirds[SFT] = await self._thirds(SFT, start, servers)
            for key in sampled:
                policy = await self._dpo(key, start, servers, trained)
                evaluated[key] = await self._evaluated(key, policy, servers)
                await self._draw(key, policy, servers, drawn)
                if self.settings.thirds and key == f"{ANCHOR}/tasks":
                    thirds[key] = await self._thirds(key, policy, servers)
        result = SeedResult(self.number, evaluated, sampled, trained, thirds, drawn)
        write(self.folder / "result.json", result)
        return result

    def _order(self) -> list[str]:
        """The method whose tokens are the others' budget comes first."""
        return sorted(self.settings.arms, key=lambda name: name != ANCHOR)

    def _tell(self, text: str) -> None:
        self.say(f"seed {self.number}: {text}")

    async def _base(self) -> Policy:
        """The policy before SFT: the given model, or a tiny one as it is born."""
        if self.settings.model != "tiny":
            return await self._policy(Path(self.settings.model))
        return await self._tiny("born", born=True)

    async def _sft(self, base: Policy) -> Policy:
        if self.settings.model == "tiny":
            return await self._tiny("sft")
        settings = self.settings.sft_settings(base.checkpoint, self.folder / "sft", self.number)
        self._tell("SFT")
        await train_once(self.work.train_sft, settings, _quiet)
        return await self._policy(settings.out)

    async def _tiny(self, name: str, *, born: bool = False) -> Policy:
        out = self.folder / name
        if not out.is_dir():
            self._tell(f"making the tiny model ({name})")
            stop = threading.Event()
            try:
                await asyncio.to_thread(
                    train_tiny, self.settings.tiny(out, self.number, born=born), stop=stop
                )
            finally:
                stop.set()  # whoever is cancelled does not wait for it
        return await self._policy(out)

    async def _policy(self, checkpoint: Path) -> Policy:
        return Policy(0, checkpoint, (await asyncio.to_thread(describe, checkpoint)).sha256)

    async def _evaluated(self, key: str, policy: Policy, servers: PolicyServers) -> Evaluated:
        """Greedy outcomes on the held-out tasks."""
        return await self._play("evaluated", key, policy, servers, 0.0, 1)

    async def _draw(
        self, key: str, policy: Policy, servers: PolicyServers, drawn: dict[str, Evaluated]
    ) -> None:
        """The same tasks, played as they are explored."""
        if times := self.settings.drawn:
            drawn[key] = await self._play("drawn", key, policy, servers, self.settings.temperature, times)

    async def _play(
        self, stage: str, key: str, policy: Policy, servers: PolicyServers, temperature: float, times: int
    ) -> Evaluated:
        async def evaluate() -> Evaluated:
            urls = await servers.serve(policy)
            async with Fleet(urls, self._fleet()) as fleet:
                await fleet.check()
                acting = ReActPolicy(fleet, self.settings.sampling(temperature))
                rounds = []
                for number in range(times):
                    seed = self.number + number * _ROUND
                    played = await play(self.work.env, acting, self.work.held_out, seed=seed, at_once=64)
                    rounds.append([each.outcome for each in played])
            outcomes = tuple(exact_mean(each) for each in zip(*rounds, strict=True))
            mean = exact_mean(outcomes)
            self._tell(f"{key}: {mean:.3f} on {len(outcomes)} held-out tasks, temperature {temperature:g}")
            return Evaluated(outcomes, policy.version)

        return await self._once(
            stage, key, Evaluated, evaluate, lambda found: found.weight_version == policy.version
        )

    async def _explore(
        self, name: str, start: Policy, servers: PolicyServers, sampled: dict[str, Sampled]
    ) -> None:
        """Sample with one method and note what each variant of it cost."""
        arm, run_dir = ARMS[name], self.folder / "runs" / name
        # The anchor's own tokens are the budget of the other variant, so it has the first alone, always.
        variants = ("tasks",) if name == ANCHOR else self.settings.variants
        kept: dict[str, Sampled | None] = {}
        for each in variants:
            found = read(self._sampled(name, each), Sampled)
            kept[each] = found if found is not None and found.weight_version == start.version else None
        if None in kept.values():
            method = arm.make(self.settings, self.work.experts)
            budget = sampled[f"{ANCHOR}/tasks"].generated if "tokens" in variants else None
            cpu_s = await self._sample(method, arm, run_dir, start, servers, budget)
            for variant in [each for each, found in kept.items() if found is None]:
                tasks = self.work.tasks[: self.settings.explore] if variant == "tasks" else self.work.tasks
                kept[variant] = account(
                    run_dir,
                    [task.id for task in tasks],
                    self.folder / "pairs" / f"{name}-{variant}.jsonl",
                    budget=None if variant == "tasks" else budget,
                    cpu_s=cpu_s,
                    weight_version=start.version,
                )
                write(self._sampled(name, variant), kept[variant])
        for variant, found in kept.items():
            assert found is not None
            sampled[f"{name}/{variant}"] = found

    async def _sample(
        self,
        method: Method | TreeMethod,
        arm: Arm,
        run_dir: Path,
        start: Policy,
        servers: PolicyServers,
        budget: int | None,
    ) -> float | None:
        """Returns the CPU seconds that the servers needed for it, where they are known."""
        urls = await servers.serve(start)
        before = None if run_dir.exists() else servers.cpu_s()
        temperature = self.settings.temperature if arm.temperature is None else arm.temperature
        sampler = Sampler(
            self.work.env,
            servers=urls,
            method=method,
            run_dir=run_dir,
            resume=True,
            seed=self.number,
            sampling=self.settings.sampling(temperature),
            fleet=self._fleet(),
        )
        failed: list[TaskFailed] = []

        async def explore(tasks: Sequence[Task]) -> None:
            found = [event async for event in sampler.events(tasks) if isinstance(event, TaskFailed)]
            failed.extend(event for event in found if event.fault_of == "server")

        first, rest = self.work.tasks[: self.settings.explore], self.work.tasks[self.settings.explore :]
        async with sampler:
            await explore(first)
            for at in range(0, len(rest), BATCH):
                if budget is None or failed or sampler.stats.tokens.completion_tokens >= budget:
                    break
                await explore(rest[at : at + BATCH])
        if failed:  # what the others explore must not be compared with fewer or other tasks
            raise ServerError(
                f"{arm.title}: {len(failed)} tasks were set aside ({failed[-1].reason}); once the servers"
                " answer, run this again: it takes them up"
            )
        stats = sampler.stats
        if budget is not None and stats.tokens.completion_tokens < budget:
            self._tell(f"{arm.title}: all tasks together took fewer tokens than the budget, {budget:,}")
        self._tell(
            f"{arm.title}: {stats.tasks_finished} tasks, {stats.pairs} pairs,"
            f" {stats.tokens.completion_tokens:,} tokens"
        )
        after = servers.cpu_s()
        return None if before is None or after is None or after < before else after - before

    def _sampled(self, name: str, variant: str) -> Path:
        return self.folder / "sampled" / f"{name}-{variant}.json"

    async def _dpo(
        self, key: str, start: Policy, servers: PolicyServers, trained: dict[str, Trained]
    ) -> Policy:
        """Train on a variant's pairs; without any the policy stays what it was."""
        name = _file(key)
        pairs, out = self.folder / "pairs" / f"{name}.jsonl", self.folder / "dpo" / name
        rows = sum(1 for _ in pairs.open("rb"))
        if not rows:
            self._tell(f"{key}: no pairs, so the SFT policy stands for it")
            trained[key] = Trained(0, 0, 0, 0.0, 0.0)
            return start
        loss = ARMS[key.partition("/")[0]].loss
        settings = self.settings.dpo_settings(pairs, start.checkpoint, out, self.number, loss)
        await servers.release()
        self._tell(f"{key}: DPO on {rows} pairs")
        result, _ = await train_once(self.work.train_dpo, settings, _quiet)
        if result.rows_left_out:
            self._tell(f"{key}: {len(result.rows_left_out)} pairs are too long to train on")
        seconds = sum(result.seconds.values())
        trained[key] = Trained(rows, len(result.rows_left_out), result.steps, seconds, result.cpu_s)
        return await self._policy(out)

    async def _thirds(self, key: str, policy: Policy, servers: PolicyServers) -> Thirds:
        """Table 2: how often the reward rises, by thirds of the trajectory, on held-out tasks."""

        async def explore() -> Thirds:
            urls = await servers.serve(policy)
            run_dir = self.folder / "runs" / f"thirds-{_file(key)}"
            sampler = Sampler(
                self.work.env,
                servers=urls,
                method=RisingReward(rollouts=self.settings.rollouts, max_candidates=1),
                run_dir=run_dir,
                resume=True,
                seed=self.number,
                sampling=self.settings.sampling(self.settings.temperature),
                fleet=self._fleet(),
            )
            async with sampler:
                async for _ in sampler.events(self.work.held_out[: self.settings.thirds]):
                    pass
            summary = sampler.summary()
            return Thirds(summary.rising_by_third, summary.strictly_rising_by_third, policy.version)

        return await self._once(
            "thirds", key, Thirds, explore, lambda found: found.weight_version == policy.version
        )

    async def _once(
        self,
        stage: str,
        key: str,
        kind: type[T],
        do: Callable[[], Awaitable[T]],
        holds: Callable[[T], bool],
    ) -> T:
        """A stage's result, from its file if that still holds, or done now."""
        path = self.folder / stage / f"{_file(key)}.json"
        if (found := read(path, kind)) is not None and holds(found):
            return found
        result = await do()
        write(path, result)
        return result

    def _fleet(self) -> FleetSettings:
        keys = self.work.keys
        return FleetSettings(
            concurrency=self.settings.concurrency, api_key=keys.user, admin_api_key=keys.admin
        )


def _quiet(line: str) -> None:
    """A stage is one line; its trainer's own lines are in its log."""


def _file(key: str) -> str:
    return key.replace("/", "-")


def _made_of(settings: Table1Settings, experts: Experts, data_digest: str) -> dict[str, str]:
    found = {name: file_sha256(settings.tasks / name) for name in settings.files}
    found |= {"experts": experts.digest, "environment": data_digest}
    if settings.model != "tiny":
        found["model"] = describe(settings.model).sha256
        found["tokenizer"] = model_fingerprints(str(settings.model)).get("tokenizer", "")
    return found


def _claim(settings: Table1Settings, made_of: dict[str, str]) -> None:
    """Write what the folder is for, or see that it is for the same.

    Raises:
        ConfigError: it holds an experiment with other settings; more seeds alone are no other experiment.
    """
    now = msgspec.json.decode(msgspec.json.encode({**settings.plain(), "made_of": made_of}))
    path = settings.out / "experiment.json"
    if (before := read(path, dict)) is None:
        write(path, now)
        return
    if "tokenizer" not in before.get("made_of", {}):
        now["made_of"].pop("tokenizer", None)  # an earlier version did not write it
    if (found := difference(before, now)) is not None:
        raise ConfigError(
            f"{settings.out} holds an experiment with other settings ({found}); give another --out, or those"
        )
