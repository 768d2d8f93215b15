"""The stages of the loop: each does its work, from wherever a kill left it, and says what came of it.

A stage may be begun again at any time. What it did before is either taken up (a run's journal, a whole
checkpoint, weights that are served already) or done again (an evaluation).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.checkpoint import describe, differences
from rro_sdk.envs.base import Environment
from rro_sdk.errors import CheckpointError, ConfigError, DataError, ReloadError, TrainingError
from rro_sdk.evaluation import Evaluation, evaluate
from rro_sdk.fingerprint import digest_of, task_digest
from rro_sdk.inference.fleet import Fleet
from rro_sdk.journal import Journal
from rro_sdk.pairs import pairs_of
from rro_sdk.policy import ReActPolicy, Sampling
from rro_sdk.report.summary import RunSummary
from rro_sdk.report.text import summary_of, write_summary
from rro_sdk.run import PAIRS_NAME
from rro_sdk.types import Task
from trainers.iterate.cluster import samplers_of
from trainers.iterate.config import Config
from trainers.iterate.exploring import Explorer, ExplorerHere, ExplorerOnRay, Watch
from trainers.iterate.folder import LoopFolder, ServerSeen, StageRecord
from trainers.iterate.plan import BEFORE_POLICY, MAKES_POLICY, Kind, Stage, batches
from trainers.iterate.serving import Keys, Policy, PolicyServers
from trainers.iterate.training import Train, train_once
from trainers.process import train_dpo, train_sft
from trainers.rows import file_sha256

AT_ONCE = 64
"""Tasks evaluated at once per server where its queue decides; each has one request in flight."""

Records = Mapping[Stage, StageRecord]


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage has done, before it is recorded; see `StageRecord`."""

    settings: dict[str, Any]
    inputs: dict[str, str]
    result: dict[str, Any]
    weight_version: str
    outputs: dict[str, Path]
    hashes: dict[str, str]
    servers: tuple[ServerSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Stages:
    """What all stages work with.

    Attributes:
        config: the loop's.
        folder: the loop's, held.
        env: entered.
        servers: entered.
        keys: bearer tokens of the servers.
        pool: tasks to explore, in the loop's own order.
        held_out: tasks to evaluate on.
        base: the given model, as iteration 0 without SFT.
        watch: shows the sampling.
        say: told how a training goes.
        train_sft, train_dpo: the trainers.
    """

    config: Config
    folder: LoopFolder
    env: Environment
    servers: PolicyServers
    keys: Keys
    pool: Sequence[Task]
    held_out: Sequence[Task]
    base: Policy
    watch: Watch
    say: Callable[[str], None]
    train_sft: Train = train_sft
    train_dpo: Train = train_dpo

    async def run(self, stage: Stage, records: Records) -> StageRecord:
        """Do one stage, given the records of all before it.

        Raises:
            RROError: what the stage needs is missing or wrong, or it failed; it can be begun again.
        """
        began = time.monotonic()
        does: dict[Kind, Callable[[Stage, Records], Awaitable[Work]]] = {
            "sft": self._sft,
            "sample": self._sample,
            "train": self._train,
            "validate": self._validate,
            "reload": self._reload,
            "evaluate": self._evaluate,
        }
        work = await does[stage.kind](stage, records)
        return StageRecord(
            iteration=stage.iteration,
            kind=stage.kind,
            settings=work.settings,
            inputs=work.inputs,
            outputs={name: self.folder.within(path) for name, path in work.outputs.items()},
            hashes=work.hashes,
            weight_version=work.weight_version,
            servers=work.servers,
            result=work.result,
            seconds=round(time.monotonic() - began, 2),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    async def _sft(self, stage: Stage, records: Records) -> Work:
        await self.servers.release()
        settings = self.config.sft_settings(self.base.checkpoint, self.folder.checkpoint(0))
        result, kept = await train_once(self.train_sft, settings, self.say)
        return Work(
            settings=dict(self.config.sft or {}),
            inputs={"model": self.base.sha256, "data": file_sha256(settings.data)},
            result={**msgspec.to_builtins(result), "was_there_already": kept},
            weight_version=Policy(0, settings.out, result.weights_sha256).version,
            outputs={"checkpoint": settings.out},
            hashes={"checkpoint": result.weights_sha256},
        )

    async def _sample(self, stage: Stage, records: Records) -> Work:
        config, table = self.config, self.config.sample
        policy = policy_before(stage, records, self.folder, self.base)
        run_dir = self.folder.run(stage.iteration)
        urls = await self.servers.serve(policy)
        explored: list[Task] = []
        async with self._explorer(stage.iteration, urls, run_dir) as explorer:
            for batch in batches(self.pool, stage.iteration, table.tasks):
                explored += batch
                await explorer.explore(batch)
                if len(_pair_versions(run_dir, explored)) >= table.min_pairs:
                    break
        with Journal.open(run_dir) as journal:
            summary = summary_of(journal)
        write_summary(summary, run_dir)
        versions = Counter(_pair_versions(run_dir, explored))
        _check_pairs(versions, policy, run_dir, summary, len(explored))
        return Work(
            settings={**msgspec.to_builtins(table), "method": {"name": "rising", **config.method}},
            inputs={"policy": policy.sha256, "tasks": digest_of(*map(task_digest, explored))},
            result={"summary": msgspec.to_builtins(summary), "pair_versions": dict(versions)},
            weight_version=policy.version,
            outputs={"run": run_dir, "pairs": run_dir / PAIRS_NAME},
            hashes={"pairs": file_sha256(run_dir / PAIRS_NAME)},
            servers=await self.servers.seen(policy),
        )

    def _explorer(self, iteration: int, urls: Sequence[str], run_dir: Path) -> Explorer:
        config = self.config
        fleet = config.servers.fleet(self.keys.user, self.keys.admin)
        if config.sample.engine == "process":
            return ExplorerHere(config, iteration, self.env, urls, fleet, run_dir, self.watch)
        return ExplorerOnRay(
            config,
            iteration,
            urls,
            fleet,
            run_dir,
            shared=f"{config.shared.rstrip('/')}/{iteration:03}",
            samplers=samplers_of(config),
            say=self.say,
        )

    async def _train(self, stage: Stage, records: Records) -> Work:
        sampled = records[Stage(stage.iteration, "sample")]
        pairs = self.folder.path / sampled.outputs["pairs"]
        if not pairs.is_file() or file_sha256(pairs) != sampled.hashes["pairs"]:
            raise DataError(
                f"{pairs} is not the file that stage {stage.iteration:03}-sample left; put it back, or remove"
                " the record of that stage, which then makes it anew from the journal"
            )
        policy = policy_before(stage, records, self.folder, self.base)
        reference = policy
        if self.config.reference == "sft":
            reference = policy_before(Stage(1, "sample"), records, self.folder, self.base)
        await self.servers.release()
        settings = self.config.dpo_settings(
            pairs, policy.checkpoint, self.folder.checkpoint(stage.iteration), reference.checkpoint
        )
        result, kept = await train_once(self.train_dpo, settings, self.say)
        return Work(
            settings={"reference": self.config.reference, **self.config.dpo},
            inputs={
                "pairs": sampled.hashes["pairs"],
                "policy": policy.sha256,
                "reference": reference.sha256,
            },
            result={**msgspec.to_builtins(result), "was_there_already": kept},
            weight_version=Policy(stage.iteration, settings.out, result.weights_sha256).version,
            outputs={"checkpoint": settings.out},
            hashes={"checkpoint": result.weights_sha256},
        )

    async def _validate(self, stage: Stage, records: Records) -> Work:
        """That the new policy is whole, is what its trainer made, and fits where the given model does."""
        policy = policy_before(stage, records, self.folder, self.base)
        new = describe(policy.checkpoint)
        if new.sha256 != policy.sha256:
            raise CheckpointError(
                f"checkpoint {policy.checkpoint} is not what its trainer left; remove it and the record of"
                " its stage, to train it anew"
            )
        if found := differences(describe(self.base.checkpoint, with_hash=False), new):
            raise CheckpointError(
                f"checkpoint {policy.checkpoint} cannot stand in for {self.base.checkpoint}:"
                f" {'; '.join(found[:3])}"
            )
        return Work(
            settings={},
            inputs={"checkpoint": policy.sha256},
            result={"parameters": new.parameters, "tensors": len(new.tensors)},
            weight_version=policy.version,
            outputs={},
            hashes={},
        )

    async def _reload(self, stage: Stage, records: Records) -> Work:
        policy = policy_before(stage, records, self.folder, self.base)
        await self.servers.serve(policy)
        return Work(
            settings={},
            inputs={"checkpoint": policy.sha256},
            result={},
            weight_version=policy.version,
            outputs={},
            hashes={},
            servers=await self.servers.seen(policy),
        )

    async def _evaluate(self, stage: Stage, records: Records) -> Work:
        config, table = self.config, self.config.evaluate
        policy = policy_before(stage, records, self.folder, self.base)
        urls = await self.servers.serve(policy)
        greedy = Sampling(
            temperature=0.0,
            max_tokens=table.max_tokens or config.sample.max_tokens,
            stop=config.sample.stop if table.stop is None else table.stop,
        )
        async with Fleet(urls, config.servers.fleet(self.keys.user, self.keys.admin)) as fleet:
            await fleet.check()
            found = await evaluate(
                self.env,
                ReActPolicy(fleet, greedy),
                self.held_out,
                seed=config.seed,
                at_once=(config.servers.concurrency or AT_ONCE) * len(urls),
            )
        if found.weight_versions != (policy.version,):
            raise ReloadError(
                f"the evaluation of {policy.version} had replies of {', '.join(found.weight_versions)};"
                " leave the servers' weights to the loop, and run it again",
                url=urls[0],
            )
        return Work(
            settings={"max_tokens": greedy.max_tokens, "stop": list(greedy.stop)},
            inputs={"checkpoint": policy.sha256, "tasks": digest_of(*map(task_digest, self.held_out))},
            result=msgspec.to_builtins(found),
            weight_version=policy.version,
            outputs={},
            hashes={},
            servers=await self.servers.seen(policy),
        )


def policy_before(stage: Stage, records: Records, folder: LoopFolder, base: Policy) -> Policy:
    """The newest policy that stages before this one made, whatever is recorded of later ones."""
    last = stage.iteration - (stage.kind in BEFORE_POLICY)
    made = [each for each in records if each.kind in MAKES_POLICY and each.iteration <= last]
    if not made:
        return base
    newest = max(made, key=lambda each: each.iteration)
    record = records[newest]
    return Policy(newest.iteration, folder.path / record.outputs["checkpoint"], record.hashes["checkpoint"])


def rewards_of(records: Records) -> list[float]:
    """Held-out reward of each iteration that was evaluated, from 0."""
    return [evaluation.mean_outcome for evaluation in evaluations_of(records)]


def evaluations_of(records: Records) -> list[Evaluation]:
    """The evaluations so far, from iteration 0."""
    done = sorted(stage.iteration for stage in records if stage.kind == "evaluate")
    return [msgspec.convert(records[Stage(each, "evaluate")].result, Evaluation) for each in done]


def _pair_versions(run_dir: Path, tasks: Sequence[Task]) -> list[str]:
    """The weight version of each pair of these tasks, from the journal."""
    ids = {task.id for task in tasks}
    with Journal.open(run_dir) as journal:
        return [pair.weight_version for pair in pairs_of(journal.events()) if pair.task_id in ids]


def _check_pairs(
    versions: Counter[str], policy: Policy, run_dir: Path, summary: RunSummary, explored: int
) -> None:
    if not versions:
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary.no_pair.items())
        raise TrainingError(
            f"{explored} explored tasks gave no pair, so there is nothing to train on (steps without a pair:"
            f" {reasons or 'none'}); begin a loop with more tasks, more candidates or"
            ' on_first_rise = "second"'
        )
    if strangers := [version for version in versions if version != policy.version]:
        raise ConfigError(
            f"{versions[strangers[0]]} pairs in {run_dir} were made by weight version {strangers[0]!r}, not"
            f" by {policy.version}: somebody else changed the servers' weights; remove that folder, and the"
            " iteration samples anew"
        )
