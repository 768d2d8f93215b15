"""What a training run is told: frozen, checked on construction, free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from rro_sdk.errors import ConfigError

__all__ = ["DPOSettings", "SFTSettings", "TrainSettings"]

Device = Literal["auto", "cpu", "cuda"]
SaveDtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings that both trainers share.

    Attributes:
        data: JSON lines file; its rows are described in `trainers.rows`.
        model: checkpoint folder to start from.
        out: folder for the new checkpoint; must be absent or empty.
        steps: optimizer steps. None: go through the data `epochs` times.
        epochs: passes over the data when `steps` is None. None: one.
        batch_size: sequences a forward pass: a pair counts as one, and so do SFT rows that continue one
            another (the turns of an episode).
        grad_accum: forward passes an optimizer step.
        lr: peak learning rate, decayed linearly to 0. None: the method's default (`peak_lr`).
        warmup_steps: optimizer steps over which the rate rises from 0 to `lr`.
        max_length: tokens of prompt and completion together; longer rows are reported, never cut.
        allow_drop: leave rows out that cannot be trained on, and count them, in place of refusing the file.
        lora: train a LoRA adapter and merge it before saving, in place of all weights.
        lora_rank: rank of the adapter; its alpha is twice that.
        seed: of the shuffle and of the adapter's initial weights.
        threads: CPU threads. None: every core that this process may use. Beside a busy server take 1.
        device: "auto" takes CUDA where there is one.
        gradient_checkpointing: recompute activations in place of keeping them: less memory, slower.
        save_dtype: of the saved weights. float32 keeps updates that bfloat16 rounds away, at twice the size.
        share_prefixes: compute what rows have in common once. Same losses and gradients, less work.
    """

    data: Path
    model: Path
    out: Path
    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 2
    grad_accum: int = 1
    lr: float | None = None
    warmup_steps: int = 0
    max_length: int = 1024
    allow_drop: bool = False
    lora: bool = False
    lora_rank: int = 16
    seed: int = 0
    threads: int | None = None
    device: Device = "auto"
    gradient_checkpointing: bool = False
    save_dtype: SaveDtype = "float32"
    share_prefixes: bool = True

    method: ClassVar[Literal["sft", "dpo"]]
    default_lr: ClassVar[float]
    default_lora_lr: ClassVar[float]

    def __post_init__(self) -> None:
        for name in ("data", "model", "out"):
            object.__setattr__(self, name, Path(getattr(self, name)))
        if self.steps is not None and self.epochs is not None:
            raise ConfigError("steps and epochs were both given: choose one of them")
        for name, low, high in (
            ("steps", 1, 1_000_000),
            ("epochs", 1, 1_000),
            ("batch_size", 1, 1_024),
            ("grad_accum", 1, 4_096),
            ("warmup_steps", 0, 1_000_000),
            ("max_length", 16, 1_048_576),
            ("lora_rank", 1, 1_024),
            ("seed", 0, 2**32 - 1),
            ("threads", 1, 1_024),
        ):
            _whole(name, getattr(self, name), low, high)
        if self.lr is not None:
            _real("lr", self.lr, 0.0, 1.0)
        _one_of("device", self.device, ("auto", "cpu", "cuda"))
        _one_of("save_dtype", self.save_dtype, ("float32", "bfloat16"))

    @property
    def peak_lr(self) -> float:
        """The learning rate in force."""
        if self.lr is not None:
            return self.lr
        return self.default_lora_lr if self.lora else self.default_lr

    @property
    def passes(self) -> int:
        """Epochs in force when `steps` is None."""
        return self.epochs if self.epochs is not None else 1


@dataclass(frozen=True, kw_only=True)
class SFTSettings(TrainSettings):
    """Supervised fine-tuning on the completions alone."""

    method = "sft"
    default_lr = 2e-5  # TRL's
    default_lora_lr = 2e-4  # adapters need about ten times the rate of full training


@dataclass(frozen=True, kw_only=True)
class DPOSettings(TrainSettings):
    """Direct preference optimization (the paper's section 3.4).

    Attributes:
        beta: how strongly the policy is held to the model that it starts from.
        sft_weight: weight of an SFT loss on the chosen action beside the DPO loss (IPR); 0 is plain DPO.
    """

    beta: float = field(default=0.1)
    sft_weight: float = field(default=0.0)

    method = "dpo"
    default_lr = 5e-6  # learns within a few steps on SmolLM2; TRL's 1e-6 barely does
    default_lora_lr = 5e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        _real("beta", self.beta, 0.0, 100.0)
        if self.sft_weight != 0.0:
            _real("sft_weight", self.sft_weight, 0.0, 100.0)


def _whole(name: str, value: int | None, low: int, high: int) -> None:
    if value is None and name in ("steps", "epochs", "threads"):
        return
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number from {low} to {high}")


def _real(name: str, value: float, above: float, high: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not above < value <= high:
        raise ConfigError(f"{name} is {value!r}: it must be a number above {above:g} and at most {high:g}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")
