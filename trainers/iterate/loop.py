"""The loop: SFT, then again and again explore, train, reload, evaluate, from wherever it was left.

Everything that can be seen to be wrong is found before the loop's folder is made.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path

import msgspec

from rro_sdk.checkpoint import describe
from rro_sdk.envs.base import Environment
from rro_sdk.envs.registry import suite
from rro_sdk.errors import ConfigError, DataError, JournalError
from rro_sdk.fingerprint import digest_of, model_fingerprints, task_digest
from rro_sdk.methods.experts import Experts
from rro_sdk.types import Task
from trainers.iterate.cluster import on_cluster
from trainers.iterate.config import Config
from trainers.iterate.exploring import Watch, make_environment
from trainers.iterate.folder import Header, LoopFolder, new_header, refuse_other
from trainers.iterate.plan import MAKES_POLICY, removable, shuffled
from trainers.iterate.serving import Keys, Make, Policy, PolicyServers
from trainers.iterate.stages import Records, Stages, rewards_of
from trainers.iterate.summary import LoopSummary, summarise
from trainers.iterate.training import Train
from trainers.launching import ON_CPU, find_config
from trainers.nodes import Nodes
from trainers.process import train_dpo, train_sft
from trainers.room import bytes_needed, refuse_less_than, weights_bytes
from trainers.rows import file_sha256, read_rows
from trainers.settings import TrainSettings

__all__ = ["Parts", "begun_with", "iterate"]

_PACKAGES = ("rro-sdk", "torch", "trl", "transformers")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop is put together from; others in tests. `make_servers`: SGLang's by default."""

    make_servers: Make | None = None
    train_sft: Train = train_sft
    train_dpo: Train = train_dpo


async def iterate(
    config: Config,
    *,
    say: Callable[[str], None],
    watch: Watch,
    keys: Keys | None = None,
    parts: Parts | None = None,
) -> LoopSummary:
    """Run a loop, or go on with it at its first unfinished stage.

    Args:
        config: see `Config`.
        say: told a line a stage, and how a training goes, that from another thread.
        watch: shows the sampling.
        keys: bearer tokens of the servers.
        parts: what it is put together from.

    Returns:
        The summary, which is in the loop's folder too.

    Raises:
        ConfigError: something is wrong with the configuration, or the loop in its folder was begun with
            another one.
        RROError: a stage failed; run again, the loop goes on with it.
    """
    keys, parts = keys or Keys(), parts or Parts()
    folder = LoopFolder(Path(config.out))
    before = folder.header()
    env = make_environment(config.environment.name, config.environment.options)
    pool, held_out = _tasks(config)
    base = _base(config)
    header = _header(config, env, pool, held_out, base)
    if before is not None:
        refuse_other(before, header, folder.path)
    records = folder.records()
    finished = config.plan.next(records, rewards_of(records)) is None
    async with AsyncExitStack() as stack:
        nodes = None if finished else stack.enter_context(on_cluster(config))
        servers = await stack.enter_async_context(
            PolicyServers(config.servers, keys, folder.logs, parts.make_servers)
        )
        if not finished:
            if before is None:
                _refuse_full_disk(config, folder, records)
            await servers.check(base.checkpoint)
        stack.enter_context(folder.held())
        if before is None:
            if folder.header() is not None:
                raise ConfigError(f"another process has just begun a loop in {folder.path}; run this again")
            folder.begin(header)
        elif not finished:
            say(_where(config, folder.records()))
        folder.sweep()
        await stack.enter_async_context(env)
        stages = Stages(
            config=config,
            folder=folder,
            env=env,
            servers=servers,
            keys=keys,
            pool=pool,
            held_out=held_out,
            base=base,
            watch=watch,
            say=say,
            train_sft=_on(nodes, parts.train_sft),
            train_dpo=_on(nodes, parts.train_dpo),
        )
        records = folder.records()
        _prune(config, folder, records)
        if before is not None and not finished:  # only now, since what a kill left behind is gone
            _refuse_full_disk(config, folder, records)
        while (stage := config.plan.next(records, rewards_of(records))) is not None:
            say(f"{stage.name} ...")
            record = await stages.run(stage, records)
            folder.record(stage, record)
            records[stage] = record
            _prune(config, folder, records)
            if (summary := summarise(config, folder, records, base)) is not None:
                folder.write_summary(summary)
            for warning in record.result.get("warnings", ()):
                say(f"{stage.name}: {warning}")
            if stage.kind == "evaluate":
                held = record.result
                say(f"{stage.name}: held-out reward {held['mean_outcome']:.3f}, {held['solved']} solved")
        summary = summarise(config, folder, records, base)
        if summary is None:
            raise JournalError(f"the loop in {folder.path} has no evaluation")
        folder.write_summary(summary)
    return summary


def begun_with(folder: Path) -> Config:
    """The configuration of the loop in a folder.

    Raises:
        ConfigError: there is no loop.
        JournalError: its header cannot be read.
    """
    header = LoopFolder(folder.absolute()).header()
    if header is None:
        raise ConfigError(f"{folder} holds no loop; begin one with: rro iterate --config FILE")
    header.config.check()
    return msgspec.structs.replace(header.config, out=str(folder.absolute()))  # it may have been moved


def _on(nodes: Nodes | None, train: Train) -> Train:
    return train if nodes is None else partial(train, nodes=nodes)


def _tasks(config: Config) -> tuple[list[Task], list[Task]]:
    """The tasks to explore and those to evaluate on, each in the loop's own order.

    Raises:
        ConfigError: a file has none, or an id twice.
        DataError: the two share a task.
    """
    own = suite(config.environment.name)
    found: dict[str, dict[str, Task]] = {}
    for name in ("train", "held_out"):
        file = getattr(config.environment, name)
        tasks = own.tasks(file, config.environment.options)
        found[name] = {task.id: task for task in tasks}
        if not tasks:
            raise ConfigError(f"key environment.{name}: {file} holds no tasks")
        if len(found[name]) < len(tasks):
            raise ConfigError(f"key environment.{name}: {file} has two tasks of one id")
    train, held_out = found["train"], found["held_out"]
    known = {task_digest(task) for task in train.values()}
    shared = [task.id for task in held_out.values() if task.id in train or task_digest(task) in known]
    if shared:
        raise DataError(
            f"{len(shared)} held-out tasks are also explored, such as {shared[0]}; give environment.held_out"
            " tasks of its own"
        )
    pool = [train[each] for each in shuffled(list(train), config.seed)]
    evaluated = [held_out[each] for each in shuffled(list(held_out), config.seed)]
    return pool, evaluated[: config.evaluate.tasks]


def _base(config: Config) -> Policy:
    return Policy(0, Path(config.model), describe(config.model).sha256)


def _refuse_full_disk(config: Config, folder: LoopFolder, records: Records) -> None:
    """Raise if there is no room for the checkpoints that are still to come.

    Where the loop may stop early, for those that it makes before it can: the policy to beat is made too.

    Raises:
        ConfigError: says how much is needed and how much is free.
    """
    model, anywhere = describe(config.model, with_hash=False), Path(config.out)
    left = [stage for stage in config.plan.stages() if stage.kind in MAKES_POLICY and stage not in records]
    if config.stop is not None:
        left = left[: config.stop.patience + any(stage.kind == "sft" for stage in left)]
    trainings: list[TrainSettings] = [
        config.sft_settings(anywhere, out)
        if stage.kind == "sft"
        else config.dpo_settings(anywhere, anywhere, out, None)
        for stage in left
        for out in (folder.checkpoint(stage.iteration),)
    ]
    if not trainings:
        return
    weights = sorted((weights_bytes(each, model) for each in trainings), reverse=True)
    if config.keep == "best":  # and the newest, the one that is being made, and DPO's reference
        made = [stage.iteration for stage in records if stage.kind in MAKES_POLICY]
        there = sum(folder.checkpoint(iteration).is_dir() for iteration in made)
        weights = weights[: max((4 if config.reference == "sft" else 3) - there, 1)]
    beside = max(bytes_needed(each, model) - weights_bytes(each, model) for each in trainings)
    refuse_less_than(
        sum(weights) + beside,
        folder.path,
        f"the loop, of {len(weights)} checkpoints more at once,",
        'give another out or fewer iterations, or set keep = "best" or save_dtype = "bfloat16"',
    )


def _header(
    config: Config, env: Environment, pool: Sequence[Task], held_out: Sequence[Task], base: Policy
) -> Header:
    inputs = {
        "model": base.sha256,
        "tokenizer": model_fingerprints(config.model).get("tokenizer", ""),
        "environment": env.data_digest,
        "tasks to explore": digest_of(*map(task_digest, pool)),
        "held-out tasks": digest_of(*map(task_digest, held_out)),
    }
    if config.sft is not None:
        try:
            inputs["SFT rows"] = file_sha256(Path(config.sft["data"]))
        except OSError as error:
            raise ConfigError(f"key sft.data: cannot read {config.sft['data']}: {error.strerror}") from error
        read_rows(Path(config.sft["data"]), "sft")
    for table, settings in (("sft", config.sft), ("dpo", config.dpo)):
        launch = (settings or {}).get("launch")
        if launch is not None and launch != ON_CPU:
            inputs[f"{table}.launch"] = file_sha256(find_config(launch))
    experts = getattr(config.make_method(), "experts", None)
    if isinstance(experts, Experts):
        inputs["experts"] = experts.digest
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError as error:
            raise ConfigError(f"{name} is not installed; install rro-sdk[train]") from error
    return new_header(datetime.now(UTC).isoformat(timespec="seconds"), config, inputs, versions)


def _where(config: Config, records: Records) -> str:
    following = config.plan.next(records, rewards_of(records))
    return f"{len(records)} stages are finished; going on with {following.name if following else 'nothing'}"


def _prune(config: Config, folder: LoopFolder, records: Records) -> None:
    if config.keep != "best":
        return
    made = sorted(stage.iteration for stage in records if stage.kind in MAKES_POLICY)
    for iteration in removable(made, rewards_of(records), keep_first=config.reference == "sft"):
        folder.remove_checkpoint(iteration)
