"""What each method's loss sees, against log-probabilities computed by hand. In this process, for speed."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.checkpoint import content_hash, describe
from rro_sdk.errors import TrainingError
from trainers import (
    DPOSettings,
    Event,
    KTOSettings,
    RewardSettings,
    SFTSettings,
    Step,
    TrainSettings,
    dpo,
    kto,
    reward,
    sft,
)
from trainers.loading import encode_rows, load_model, load_tokenizer, prepare
from trainers.rows import read_rows
from trainers.saving import MANIFEST, METRICS
from trainers.worker import Job, common_arguments

from .conftest import TrainHere, message, pair_rows, write_rows

CPU = {"threads": 1, "device": "cpu", "batch_size": 4}


@pytest.fixture(scope="module")
def other(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with other weights."""
    import torch

    folder = tmp_path_factory.mktemp("other") / "model"
    model = load_model(tiny)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    load_tokenizer(tiny).save_pretrained(folder)
    return folder


def trajectories(count: int) -> list[dict[str, Any]]:
    """Pairs of whole trajectories, of one to three turns."""
    rows = pair_rows(count)
    for i, row in enumerate(rows):
        for turn in range(i % 3):
            row["chosen"] += [
                message("user", f"observed {turn} of {i}"),
                message("assistant", f"Action: {turn}"),
            ]
        row["rejected"] += [message("user", "nothing there, whatever"), message("assistant", "Action: none")]
    return rows


def job(settings: TrainSettings, folder: Path) -> Job:
    tokenizer = load_tokenizer(settings.model)
    rows = encode_rows(read_rows(settings.data, settings.method), tokenizer, settings)
    model = prepare(load_model(settings.model, settings.method), settings)
    return Job(settings, model, tokenizer, tuple(rows), folder, None, True, tuple(range(len(rows))))


def by_hand(model_path: Path, messages: list[dict[str, str]], answers: int) -> tuple[float, float, int]:
    """Log-probability of the last `answers` messages: of their actions alone, and of all of them; then how
    many tokens the actions have."""
    import torch

    model, tokenizer = load_model(model_path), load_tokenizer(model_path)

    def ids(said: list[dict[str, str]], generate: bool) -> list[int]:
        found: list[int] = tokenizer.apply_chat_template(
            said, add_generation_prompt=generate, return_dict=True
        )["input_ids"]
        return found

    whole = torch.tensor([ids(messages, False)])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        log_probs = model(input_ids=whole).logits[0, :-1].float().log_softmax(-1)
    each = [0.0, *log_probs.gather(1, whole[0, 1:, None])[:, 0].tolist()]
    start = len(messages) - answers
    spans = [
        (len(ids(messages[:i], True)), len(ids(messages[: i + 1], False)))
        for i in range(start, len(messages), 2)
    ]
    actions = sum(sum(each[begin:end]) for begin, end in spans)
    return actions, sum(each[spans[0][0] :]), sum(end - begin for begin, end in spans)


@pytest.mark.parametrize("shared", [True, False], ids=["prefixes shared", "plain"])
def test_dpo_scores_the_actions_of_a_trajectory_and_not_its_observations(
    tiny: Path, other: Path, tmp_path: Path, shared: bool
) -> None:
    rows = trajectories(4)
    settings = DPOSettings(
        data=write_rows(tmp_path / "pairs.jsonl", rows), model=tiny, reference=other, out=tmp_path / "out",
        steps=1, lr=1e-9, loss="ipr", share_prefixes=shared, **CPU,
    )  # fmt: skip
    trainer = dpo.build(job(settings, tmp_path / "scratch")).trainer
    expected: dict[str, list[float]] = {}
    tokens = 0
    for side in ("chosen", "rejected"):
        for model, name in ((other, f"ref_{side}_logps"), (tiny, f"logps/{side}")):
            scores = [by_hand(model, row["prompt"] + row[side], len(row[side])) for row in rows]
            expected[name] = [actions for actions, _, _ in scores]
            with_observations = [everything for _, everything, _ in scores]
            assert any(abs(a - b) > 10 for a, b in zip(expected[name], with_observations, strict=True))
        tokens += sum(count for _, _, count in scores) if side == "chosen" else 0
        assert trainer.train_dataset[f"ref_{side}_logps"] == pytest.approx(
            expected[f"ref_{side}_logps"], rel=5e-3
        )
    trainer.train()
    (step,) = [entry for entry in trainer.state.log_history if "loss" in entry]
    for side in ("chosen", "rejected"):
        assert step[f"logps/{side}"] == pytest.approx(sum(expected[f"logps/{side}"]) / 4, rel=5e-3)
    ratios = {
        side: [p - r for p, r in zip(expected[f"logps/{side}"], expected[f"ref_{side}_logps"], strict=True)]
        for side in ("chosen", "rejected")
    }
    differences = [c - r for c, r in zip(ratios["chosen"], ratios["rejected"], strict=True)]
    preference = sum(math.log1p(math.exp(-0.1 * difference)) for difference in differences) / 4
    imitation = -sum(expected["logps/chosen"]) / tokens
    assert step["loss"] == pytest.approx(preference + imitation, rel=2e-2), "IPR: DPO + 1.0 x SFT on chosen"


def test_kto_scores_the_actions_of_a_trajectory_and_not_its_observations(tiny: Path, tmp_path: Path) -> None:
    rows = trajectories(3)
    settings = KTOSettings(
        data=write_rows(tmp_path / "pairs.jsonl", rows), model=tiny, out=tmp_path / "out",
        steps=2, lr=1e-9, **CPU,
    )  # fmt: skip
    trainer = kto.build(job(settings, tmp_path / "scratch")).trainer
    flat = list(zip(trainer.train_dataset["prompt"], trainer.train_dataset["completion"], strict=True))
    assert len(flat) == 6
    expected = [by_hand(tiny, prompt + said, len(said))[0] for prompt, said in flat]
    assert trainer.train_dataset["ref_logps"] == pytest.approx(expected, rel=5e-3)
    beside = [3, 0, 1, 2, 5, 4]  # within batches of 4, each prompt with the completion of the row before
    crossed = [
        by_hand(tiny, prompt + flat[j][1], len(flat[j][1]))[0]
        for (prompt, _), j in zip(flat, beside, strict=True)
    ]
    assert trainer.train_dataset["ref_KL_logps"] == pytest.approx(crossed, rel=5e-3)
    trainer.train()
    first = trainer.state.log_history[0]
    assert first["loss"] == pytest.approx(0.5, abs=5e-3), "1 - sigmoid(0) on both labels"


@pytest.mark.parametrize("shared", [True, False], ids=["turns joined", "a row a turn"])
def test_sft_is_cross_entropy_on_the_actions_of_a_whole_step(
    tiny: Path, tmp_path: Path, shared: bool
) -> None:
    """Every action's token counts alike, in whichever of a step's accumulated batches it is."""
    conversations = [[message("user", "go on")] for _ in range(3)]
    rows = []
    for i, history in enumerate(conversations):
        for turn in range(i + 1):
            action = message("assistant", f"Action: {'look ' * (i + turn)}")
            rows.append({"prompt": list(history), "completion": [action]})
            history += [action, message("user", f"seen {turn} of {i}")]
        history.pop()
    settings = SFTSettings(
        data=write_rows(tmp_path / "sft.jsonl", rows), model=tiny, out=tmp_path / "out", epochs=1, lr=1e-9,
        grad_accum=6, share_prefixes=shared, **{**CPU, "batch_size": 1},
    )  # fmt: skip
    scored = [by_hand(tiny, said, len(said) - 1) for said in conversations]
    trainer = sft.build(job(settings, tmp_path / "scratch")).trainer
    trainer.train()
    (step,) = [entry for entry in trainer.state.log_history if "loss" in entry]
    tokens = sum(count for _, _, count in scored)
    assert step["loss"] == pytest.approx(-sum(actions for actions, _, _ in scored) / tokens, rel=1e-2)


@pytest.mark.parametrize("margin", [True, False])
def test_the_loss_of_a_reward_model_by_hand(tiny: Path, tmp_path: Path, margin: bool) -> None:
    import torch

    rows = [{**row, "chosen_reward": 0.9, "rejected_reward": 0.2} for row in pair_rows(4)]
    settings = RewardSettings(
        data=write_rows(tmp_path / "pairs.jsonl", rows), model=tiny, out=tmp_path / "out", steps=1, lr=1e-9,
        margin=margin, **CPU,
    )  # fmt: skip
    made = job(settings, tmp_path / "scratch")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        scores = {
            side: [
                float(made.model(input_ids=torch.tensor([encoded.sides[i]])).logits[0, 0])
                for encoded in made.rows
            ]
            for i, side in enumerate(("chosen", "rejected"))
        }
    leads = [c - r for c, r in zip(scores["chosen"], scores["rejected"], strict=True)]
    expected = sum(math.log1p(math.exp((0.7 if margin else 0.0) - lead)) for lead in leads) / 4
    trainer = reward.build(made).trainer
    trainer.train()
    (step,) = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert step["loss"] == pytest.approx(expected, rel=1e-2)


OTHER_THAN_TRL = {
    "gradient_checkpointing", "learning_rate", "num_train_epochs", "per_device_train_batch_size", "seed"
}  # fmt: skip
"""What docs/training.md says is another default than TRL's."""
OF_NO_WEIGHT = {
    "activation_checkpointing", "data_seed", "disable_tqdm", "logging_nan_inf_filter", "logging_steps",
    "report_to", "save_steps", "save_strategy", "save_total_limit",
}  # fmt: skip
"""What touches no weight, or is another name for one of those."""


def test_no_default_is_another_than_trls_without_being_stated(tiny: Path, tmp_path: Path) -> None:
    from trl import DPOConfig, KTOConfig, RewardConfig, SFTConfig

    both = {"output_dir": str(tmp_path), "use_cpu": True}
    for kind, theirs in (
        (SFTSettings, SFTConfig),
        (DPOSettings, DPOConfig),
        (KTOSettings, KTOConfig),
        (RewardSettings, RewardConfig),
    ):
        settings = kind(data=tmp_path, model=tiny, out=tmp_path / "out")
        given = Job(settings, None, None, (), tmp_path, None, True, ())
        ours, plain = theirs(**common_arguments(given)), theirs(**both)
        other = {
            item.name
            for item in dataclasses.fields(theirs)
            if item.init and getattr(ours, item.name) != getattr(plain, item.name)
        }
        assert other - OF_NO_WEIGHT <= OTHER_THAN_TRL, kind.__name__
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for name in OTHER_THAN_TRL:
        assert f"`{name}`" in page


def manifest_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / MANIFEST).read_text())
    return found


def test_a_reward_model_learns_to_tell_the_sides_apart(
    tiny: Path, tmp_path: Path, train_here: TrainHere
) -> None:
    data = write_rows(tmp_path / "pairs.jsonl", trajectories(4))
    result = train_here(
        RewardSettings(
            data=data, model=tiny, out=tmp_path / "out", steps=12, lr=5e-3, tensorboard=tmp_path / "tb", **CPU
        )
    )
    assert result.first_metrics["accuracy"] <= 1.0
    assert result.metrics["accuracy"] == 1.0
    assert result.metrics["margin"] > 1.0, "the rows ask for a margin of 1"
    assert describe(tmp_path / "out").architecture == "LlamaForSequenceClassification"
    assert manifest_of(tmp_path / "out")["reference"] is None
    lines = [json.loads(line) for line in (tmp_path / "out" / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[-1]["loss"] == result.final_loss
    assert b"train/accuracy" in b"".join(path.read_bytes() for path in (tmp_path / "tb").iterdir())


def test_the_manifest_names_the_reference_and_the_rows_weights(
    tiny: Path, other: Path, tmp_path: Path, train_here: TrainHere
) -> None:
    rows = [{**row, "weight_version": f"v{i % 2}"} for i, row in enumerate(trajectories(3))]
    settings = KTOSettings(
        data=write_rows(tmp_path / "pairs.jsonl", rows), model=tiny, reference=other, out=tmp_path / "out",
        steps=1, lora=True, **CPU,
    )  # fmt: skip
    result = train_here(settings)
    manifest = manifest_of(settings.out)
    assert manifest["reference"] == {"path": str(other), "weights_sha256": content_hash(other)}
    assert manifest["data"]["rows_by_weight_version"] == {"v0": 4, "v1": 2}
    assert result.reference == str(other)
    assert describe(settings.out).tensors.keys() == describe(tiny).tensors.keys(), "the adapter is merged"


@pytest.mark.parametrize("method", ["dpo, an adapter", "kto"])
def test_any_training_goes_on_within_an_epoch_as_if_nothing_had_been(
    tiny: Path, tmp_path: Path, train_here: TrainHere, method: str
) -> None:
    """Several epochs of accumulated batches, stopped in the second of them."""
    data = write_rows(tmp_path / "pairs.jsonl", trajectories(7))
    common: dict[str, Any] = {"data": data, "model": tiny, "epochs": 2, "grad_accum": 2, "lr": 1e-3, **CPU}
    kind = KTOSettings if method == "kto" else DPOSettings
    common |= {"batch_size": 2, "lora": method != "kto"}
    unbroken = train_here(kind(out=tmp_path / "unbroken", **common))

    def stop(event: Event) -> None:
        if isinstance(event, Step) and event.step > unbroken.steps // 2:
            raise TrainingError("stopped")

    settings = kind(out=tmp_path / "out", save_every=1, **common)
    with pytest.raises(TrainingError, match="stopped"):
        train_here(settings, stop)
    result = train_here(dataclasses.replace(settings, resume=True))
    assert 0 < result.resumed_from == unbroken.steps // 2
    assert result.weights_sha256 == unbroken.weights_sha256
