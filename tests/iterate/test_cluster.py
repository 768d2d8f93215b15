"""The loop on a Ray cluster: what is refused, and real nodes of this machine that sample and train."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rro_sdk.errors import ConfigError
from servers.fake import FakeServer, FakeSettings
from tests.cluster.nodes import ray_nodes
from tests.iterate.world import ToyTrainer, tree, unwatched
from trainers.iterate import Config, Parts, iterate, parse_config
from trainers.iterate.cluster import refuse_crowding, samplers_of
from trainers.iterate.folder import LoopFolder, StageRecord
from trainers.nodes import Room

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the [ray] extra")
slow = pytest.mark.skipif(
    os.environ.get("RRO_LAUNCH") != "1", reason="starts Ray and several processes: set RRO_LAUNCH=1"
)
FOUR = [Room(f"10.0.0.{number}", cpus=8, gpus=4) for number in range(4)]


def config(folder: Path, **changes: Any) -> Config:
    return parse_config(tree(folder, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cluster": {"samplers": 2}}, r"\[cluster\] is given and nothing is done there"),
        ({"cluster": {"train_nodes": 0}}, "key cluster.train_nodes: expected `int` >= 1"),
        ({"cluster": {"train_nodes": 2}}, r"\[sft\]: launch is missing"),
        ({"cluster": {"train_nodes": 2}, "sft": None}, r"\[dpo\]: launch is missing"),
        (
            {"cluster": {"block_tasks": 2}, "sample": {"engine": "ray", "tasks": 3}},
            r"key cluster.block_tasks is 2 and does not divide the 3 tasks of \[sample\]",
        ),
        ({"sample": {"engine": "slurm"}}, "key sample.engine: invalid enum value 'slurm'"),
        ({"servers": {"gpus": 1}}, 'gpus says what each server takes of a cluster: give engine = "ray"'),
        (
            {"servers": {"urls": ["http://127.0.0.1:1"], "engine": "ray"}},
            "engine is for servers that the loop starts",
        ),
    ],
)
def test_keys_that_cannot_be_are_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(tmp_path, **changes)


def test_blocks_never_go_across_batches(tmp_path: Path) -> None:
    for tasks, block in ((64, 64), (1000, 125), (128, 128), (131, 1), (3, 3)):
        assert config(tmp_path, sample={"engine": "ray", "tasks": tasks}).block_tasks == block


def gpus(folder: Path, **servers: Any) -> Config:
    return config(
        folder,
        servers={"start": 4, "engine": "ray", "tp": 2, **servers},
        cluster={"train_nodes": 2, "train_gpus": 4, "train_cpus": 4},
        sft=None,
        dpo={"device": "auto", "launch": "fsdp"},
    )


def test_who_takes_what_of_a_cluster_is_counted(tmp_path: Path) -> None:
    refuse_crowding(gpus(tmp_path), FOUR)
    with pytest.raises(ConfigError) as refused:
        refuse_crowding(gpus(tmp_path), FOUR[:3])
    assert str(refused.value) == (
        "servers ask for 8 GPUs and a training for 8, at the same time, and the cluster has 12:"
        " ask for fewer, add nodes, or let them share devices with share_device"
    )
    refuse_crowding(gpus(tmp_path, share_device=True), FOUR[:3])
    with pytest.raises(
        ConfigError, match="servers ask for 16 GPUs and a training for 8, one after the other"
    ):
        refuse_crowding(gpus(tmp_path, share_device=True, gpus=4), FOUR[:3])


def test_samplers_take_the_cpus_that_servers_leave(tmp_path: Path) -> None:
    sample = {"engine": "ray", "tasks": 8}
    on_cpus = config(tmp_path, sample=sample, servers={"engine": "ray", "start": 5, "device": "cpu"})
    assert samplers_of(on_cpus, FOUR) == 27
    assert samplers_of(config(tmp_path, sample=sample), FOUR) == 32
    too_many = config(tmp_path, sample=sample, cluster={"samplers": 33})
    with pytest.raises(ConfigError, match=r"33 samplers for one each .* and the cluster has 32"):
        refuse_crowding(too_many, FOUR)


def scripted(messages: object, seed: int | None, index: int) -> str:
    """Two turns in three go on, the others end."""
    drawn = seed or 0
    return f"Action: go {drawn % 5}" if drawn % 3 else f"Action: end {drawn // 3 % 3 / 2}"


async def one_iteration(
    folder: Path, name: str, base: Path, parts: Parts | None, **changes: Any
) -> dict[str, StageRecord]:
    """The records of a loop of one iteration, by kind; its server is its own, with the base model."""
    async with FakeServer(FakeSettings(reply=scripted, model_path=str(base))) as server:
        table = {"servers": {"urls": [server.url]}, "iterations": 1, "sft": None, "model": str(base)}
        made = parse_config(tree(folder, out=str(folder / name), **{**table, **changes}))
        await iterate(made, say=lambda line: None, watch=unwatched, parts=parts)
        records = LoopFolder(folder / name).records()
        return {stage.kind: record for stage, record in records.items() if stage.iteration == 1}


@needs_ray
async def test_sampled_on_ray_an_iteration_is_the_one_of_this_process(tmp_path: Path) -> None:
    """Batch after batch too: `min_pairs` is never reached, so that every task is explored."""
    tree(tmp_path)
    trainer = ToyTrainer()
    parts = Parts(train_sft=trainer, train_dpo=trainer)
    sample: dict[str, Any] = {"tasks": 3, "min_pairs": 1000}
    here = await one_iteration(tmp_path, "here", tmp_path / "base", parts, sample=sample)
    with ray_nodes(1) as nodes:
        few = {"address": nodes.address, "samplers": 2}
        with pytest.raises(ConfigError, match=r"2 samplers for one each .* the cluster has 1") as refused:
            await one_iteration(
                tmp_path, "none", tmp_path / "base", parts, sample={"engine": "ray"}, cluster=few
            )
        assert (refused.value.exit_code, (tmp_path / "none").exists()) == (2, False)
        there = await one_iteration(
            tmp_path,
            "there",
            tmp_path / "base",
            parts,
            sample={"engine": "ray", **sample},
            cluster={"address": nodes.address},
        )
    assert there["sample"].hashes == here["sample"].hashes
    assert there["sample"].inputs == here["sample"].inputs
    assert there["sample"].result["pair_versions"] == here["sample"].result["pair_versions"]
    assert there["train"].hashes == here["train"].hashes
    summaries = [each["sample"].result["summary"] for each in (here, there)]
    for name in ("steps", "pairs", "rollouts", "turns"):
        assert summaries[0][name] == summaries[1][name]


@needs_ray
@slow
async def test_a_loop_samples_and_trains_on_two_nodes(tmp_path: Path) -> None:
    """Real training of a tiny model, a process on each of two Ray nodes, against one process here."""
    from benchmarks._small_model import make_small_llama

    tiny = make_small_llama(tmp_path / "tiny", seed=0)
    dpo = {"steps": 2, "threads": 1, "device": "cpu", "lr": 1e-3}
    here = await one_iteration(tmp_path, "here", tiny, None, dpo={**dpo, "batch_size": 4})
    with ray_nodes(2) as nodes:
        there = await one_iteration(
            tmp_path,
            "there",
            tiny,
            None,
            sample={"engine": "ray"},
            cluster={"address": nodes.address, "train_nodes": 2},
            dpo={**dpo, "batch_size": 2, "launch": "cpu"},
        )
    assert there["sample"].hashes == here["sample"].hashes
    one, two = (msgspec.convert(each["train"].result["first_loss"], float) for each in (here, there))
    assert two == pytest.approx(one, rel=1e-4)
    assert there["evaluate"].weight_version == there["train"].weight_version
