from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.errors import ConfigError
from trainers import DPOSettings, KTOSettings, RewardSettings, SFTSettings

PATHS: dict[str, Any] = {"data": "d", "model": "m", "out": "o"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("steps", 1.5),
        ("epochs", 0),
        ("batch_size", 0),
        ("batch_size", True),
        ("grad_accum", -1),
        ("warmup_steps", -1),
        ("max_length", 15),
        ("lora_rank", 0),
        ("seed", -1),
        ("threads", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", 2.0),
        ("device", "tpu"),
        ("save_dtype", "float16"),
        ("beta", 0.0),
        ("beta", float("inf")),
        ("sft_weight", -1.0),
        ("loss", "hinge"),
        ("save_every", 0),
        ("lora", "False"),
        ("resume", 1),
        ("share_prefixes", None),
        ("launch", 5),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_may_be(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} is .*: it must be ") as caught:
        DPOSettings(**PATHS, **{field: value})
    assert caught.value.exit_code == 2


def test_steps_and_epochs_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="choose one"):
        SFTSettings(**PATHS, steps=1, epochs=1)


def test_defaults_follow_the_method_and_the_adapter() -> None:
    assert SFTSettings(**PATHS).peak_lr == 2e-5
    assert DPOSettings(**PATHS).peak_lr == 5e-6
    assert DPOSettings(**PATHS, lora=True).peak_lr == 5e-5
    assert DPOSettings(**PATHS, lora=True, lr=1e-3).peak_lr == 1e-3
    assert SFTSettings(**PATHS).passes == 1
    assert SFTSettings(**PATHS).data == Path("d")


def test_the_weight_of_sft_on_chosen_is_the_loss_s_own_unless_given() -> None:
    assert DPOSettings(**PATHS).sft_weight_in_force == 0.0
    assert DPOSettings(**PATHS, loss="ipr").sft_weight_in_force == 1.0
    assert DPOSettings(**PATHS, loss="ipr", sft_weight=0.25).sft_weight_in_force == 0.25
    assert DPOSettings(**PATHS, sft_weight=0.5).sft_weight_in_force == 0.5


def test_the_reference_is_the_model_unless_given() -> None:
    assert DPOSettings(**PATHS).reference_model == Path("m")
    assert DPOSettings(**PATHS, reference="sft").reference_model == Path("sft")
    assert KTOSettings(**PATHS).reference_model == Path("m")
    assert SFTSettings(**PATHS).reference_model is None
    assert RewardSettings(**PATHS).reference_model is None


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, trainers; "
        "sys.exit(bool({'torch', 'trl', 'transformers', 'numpy', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
