"""What a training run is told: frozen, checked on construction, free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from rro_sdk.errors import ConfigError
from trainers.rows import Method

__all__ = ["DPOSettings", "KTOSettings", "RewardSettings", "SFTSettings", "TrainSettings"]

Device = Literal["auto", "cpu", "cuda"]
Loss = Literal["sigmoid", "ipr"]
SaveDtype = Literal["float32", "bfloat16"]

IPR_SFT_WEIGHT = 1.0
"""Weight of the SFT loss beside the DPO losses in IPR (arXiv 2406.11176), which adds them up.

There the SFT loss is a side's sum over tokens; here, as in TRL, the mean over a batch's tokens."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings that all trainers share.

    Attributes:
        data: JSON lines file, or a run's folder; the rows are described in `trainers.rows`.
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
        sampled_with: folder of the model that made the rows, to count those with other tokens; None: what the
            run that they are of names, if there is one.
        lora: train a LoRA adapter and merge it before saving, in place of all weights.
        lora_rank: rank of the adapter; its alpha is twice that.
        seed: of the shuffle and of the adapter's initial weights.
        threads: CPU threads. None: every core that this process may use. Beside a busy server take 1.
        device: "auto" takes CUDA where there is one.
        gradient_checkpointing: recompute activations in place of keeping them: less memory, slower.
        save_dtype: of the saved weights. float32 keeps updates that bfloat16 rounds away, at twice the size.
        share_prefixes: compute what rows have in common once. Same losses and gradients, less work.
        save_every: optimizer steps between saved states of the trainer, from which an interrupted training
            can go on. They lie in `<out>.state` and are removed with success. None: none are kept.
        resume: go on from the last saved state of this very training, where there is one.
        tensorboard: folder to write TensorBoard events to, as training goes. None: none are written.
        launch: configuration of `accelerate launch`, a file or the name of one in trainers/configs; or "cpu",
            processes on this machine's CPU. None: one process. See docs/training.md.
        processes: how many processes to launch, in place of the configuration's number.
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
    sampled_with: Path | None = None
    lora: bool = False
    lora_rank: int = 16
    seed: int = 0
    threads: int | None = None
    device: Device = "auto"
    gradient_checkpointing: bool = False
    save_dtype: SaveDtype = "float32"
    share_prefixes: bool = True
    save_every: int | None = None
    resume: bool = False
    tensorboard: Path | None = None
    launch: str | None = None
    processes: int | None = None

    method: ClassVar[Method]
    default_lr: ClassVar[float]
    default_lora_lr: ClassVar[float]

    def __post_init__(self) -> None:
        for name in ("data", "model", "out"):
            object.__setattr__(self, name, Path(getattr(self, name)))
        _maybe_path(self, "tensorboard")
        _maybe_path(self, "sampled_with")
        for name in ("allow_drop", "lora", "gradient_checkpointing", "share_prefixes", "resume"):
            _true_or_false(name, getattr(self, name))
        if self.launch is not None and not isinstance(self.launch, str):
            raise ConfigError(f"launch is {self.launch!r}: it must be a configuration's name or file")
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
            ("save_every", 1, 1_000_000),
            ("processes", 1, 65_536),
        ):
            _whole(name, getattr(self, name), low, high)
        if self.lr is not None:
            _real("lr", self.lr, 0.0, 1.0)
        _one_of("device", self.device, ("auto", "cpu", "cuda"))
        if self.processes is not None and self.launch is None:
            raise ConfigError("processes is given and launch is not: one process is started without it")
        if self.launch == "cpu" and self.device == "cuda":
            raise ConfigError("launch is cpu and device is cuda: take another launch configuration")
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

    @property
    def reference_model(self) -> Path | None:
        """Folder of the reference model, which may be `model`; None where the method has none."""
        return None


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
        beta: how strongly the policy is held to the reference.
        loss: "sigmoid", DPO's; or "ipr", DPO's and an SFT loss on the chosen actions (arXiv 2406.11176).
        sft_weight: weight of that SFT loss, the mean over the chosen tokens of a batch; 0 is the loss's own
            weight: none in "sigmoid", `IPR_SFT_WEIGHT` in "ipr".
        reference: checkpoint folder that the policy is held to, such as the SFT model or the last iteration;
            None: `model`.
    """

    beta: float = field(default=0.1)
    sft_weight: float = field(default=0.0)
    loss: Loss = "sigmoid"
    reference: Path | None = None

    method = "dpo"
    default_lr = 5e-6  # learns within a few steps on SmolLM2; TRL's 1e-6 barely does
    default_lora_lr = 5e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        _maybe_path(self, "reference")
        _real("beta", self.beta, 0.0, 100.0)
        _one_of("loss", self.loss, ("sigmoid", "ipr"))
        if self.sft_weight != 0.0:
            _real("sft_weight", self.sft_weight, 0.0, 100.0)

    @property
    def sft_weight_in_force(self) -> float:
        """The weight of the SFT loss on chosen; 0: there is none."""
        return self.sft_weight or (IPR_SFT_WEIGHT if self.loss == "ipr" else 0.0)

    @property
    def reference_model(self) -> Path:
        return self.reference or self.model


@dataclass(frozen=True, kw_only=True)
class KTOSettings(TrainSettings):
    """Kahneman-Tversky optimization on labelled completions (arXiv 2402.01306).

    Attributes:
        beta: how strongly the policy is held to the reference.
        reference: checkpoint folder that the policy is held to; None: `model`.
        desirable_weight, undesirable_weight: of the losses on good and on bad completions.
    """

    beta: float = 0.1
    reference: Path | None = None
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    method = "kto"
    default_lr = 5e-6
    default_lora_lr = 5e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        _maybe_path(self, "reference")
        for name in ("beta", "desirable_weight", "undesirable_weight"):
            _real(name, getattr(self, name), 0.0, 100.0)
        if self.batch_size < 2:
            raise ConfigError("batch_size is 1: kto estimates its KL term within a batch; take 2 or more")

    @property
    def reference_model(self) -> Path:
        return self.reference or self.model


@dataclass(frozen=True, kw_only=True)
class RewardSettings(TrainSettings):
    """A reward model on pairs: a head of one number on the model's last token (Bradley-Terry).

    Attributes:
        margin: ask chosen to lead by the difference of the process rewards, where the rows state it.
    """

    margin: bool = True

    method = "reward"
    default_lr = 2e-5
    default_lora_lr = 2e-4


def _maybe_path(settings: TrainSettings, name: str) -> None:
    value = getattr(settings, name)
    if value is not None:
        object.__setattr__(settings, name, Path(value))


def _whole(name: str, value: int | None, low: int, high: int) -> None:
    if value is None and name in ("steps", "epochs", "threads", "save_every", "processes"):
        return
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}: it must be a whole number from {low} to {high}")


def _true_or_false(name: str, value: object) -> None:
    if not isinstance(value, bool):  # text such as "False" would count as true
        raise ConfigError(f"{name} is {value!r}: it must be true or false")


def _real(name: str, value: float, above: float, high: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not above < value <= high:
        raise ConfigError(f"{name} is {value!r}: it must be a number above {above:g} and at most {high:g}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}")
