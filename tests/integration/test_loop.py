"""The loop on real parts: sample, load changed weights into the running server, and back again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rro_sdk.checkpoint import describe
from rro_sdk.envs.intercode_sql import InterCodeSQL, load_tasks
from rro_sdk.errors import CheckpointError
from rro_sdk.inference.fleet import Fleet
from rro_sdk.inference.weights import reload_weights
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.journal import Journal
from rro_sdk.methods import RisingReward
from rro_sdk.policy import Sampling
from rro_sdk.sampler import Sampler
from rro_sdk.types import Message, StepRecord
from tests.integration.conftest import ServedModel

pytestmark = pytest.mark.integration

QUESTION = ChatRequest(
    messages=(Message("user", "Name three colours."),), model="m", temperature=0.0, max_tokens=16
)


async def greedy(url: str) -> tuple[str, tuple[str, ...]]:
    async with Fleet([url]) as fleet:
        completion = await fleet.complete(QUESTION)
    return completion.samples[0].text, completion.weight_versions


@pytest.fixture(scope="module")
def changed(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with its last layers' outputs turned round: same shapes, other words."""
    import safetensors.torch

    folder = tmp_path_factory.mktemp("changed") / "model"
    shutil.copytree(smollm2, folder)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for layer in (26, 27, 28, 29):
        tensors[f"model.layers.{layer}.mlp.down_proj.weight"] *= -1
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


async def test_greedy_output_changes_with_the_weights_and_changes_back(
    sglang_server: ServedModel, smollm2: Path, changed: Path, tmp_path: Path
) -> None:
    url = sglang_server.url
    before, _ = await greedy(url)
    assert (await greedy(url))[0] == before

    report = await reload_weights([url], changed)
    report.raise_for_failures()
    other, versions = await greedy(url)
    assert other != before
    assert versions == (report.weight_version,) == (describe(changed).sha256[:12],)

    run = tmp_path / "run"
    async with (
        InterCodeSQL(show_schema=True, max_steps=2) as env,
        Sampler(
            env,
            servers=[url],
            method=RisingReward(rollouts=1, max_candidates=2),
            sampling=Sampling(max_tokens=16),
            run_dir=run,
        ) as sampler,
    ):
        events = [event async for event in sampler.events(load_tasks("intercode-bench")[:2])]
    made = [event for event in events if isinstance(event, StepRecord)]
    assert made
    assert {record.weight_version for record in made} == {report.weight_version}
    with Journal.open(run) as journal:
        assert list(journal.events()) == events
    assert sampler.summary().tokens.completion_tokens > 0

    back = await reload_weights([url], smollm2)
    assert back.weight_version != report.weight_version
    assert await greedy(url) == (before, (back.weight_version,))


async def test_a_checkpoint_that_would_kill_the_server_never_reaches_it(
    sglang_server: ServedModel, smollm2: Path, tmp_path: Path
) -> None:
    import safetensors.torch

    wrong = tmp_path / "wrong"
    shutil.copytree(smollm2, wrong)
    tensors = safetensors.torch.load_file(wrong / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:100].clone()
    safetensors.torch.save_file(tensors, wrong / "model.safetensors", metadata={"format": "pt"})
    before = await greedy(sglang_server.url)
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight"):
        await reload_weights([sglang_server.url], wrong)
    assert await greedy(sglang_server.url) == before
