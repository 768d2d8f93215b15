"""What a training tells while it goes: steps to the parent, events to TensorBoard, states to the disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rro_sdk.errors import ConfigError, TrainingError
from trainers.events import Event, Step
from trainers.resuming import mark
from trainers.saving import sync

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

__all__ = ["history", "state_marker", "step_reporter", "tensorboard_writer"]


def history(state: TrainerState) -> list[Step]:
    """Every optimizer step, those before an interruption included."""
    return [
        _step(entry, int(entry["step"]), state.max_steps) for entry in state.log_history if "loss" in entry
    ]


def _step(logs: dict[str, Any], step: int, steps: int) -> Step:
    metrics = {
        name: float(value)
        for name, value in logs.items()
        if name not in ("loss", "epoch", "step") and isinstance(value, int | float)
    }
    return Step(step, steps, float(logs["loss"]), metrics)


def step_reporter(send: Callable[[Event], None]) -> Any:
    """A callback that passes each optimizer step on, and stops at a loss that is not a number."""
    from transformers import TrainerCallback

    class StepReporter(TrainerCallback):
        def on_log(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            logs: dict[str, Any] = kwargs["logs"]
            if "loss" not in logs:
                return
            step = _step(logs, state.global_step, state.max_steps)
            if not math.isfinite(step.loss):
                raise TrainingError(f"the loss is {step.loss} at step {step.step}: lower the learning rate")
            send(step)

    return StepReporter()


def state_marker() -> Any:
    """A callback that marks each saved state as whole, once it is on the disk.

    The last step saves none: the checkpoint follows it, and transformers, going on from such a state, takes
    one step more before it looks whether it is done.
    """
    from transformers import TrainerCallback

    class StateMarker(TrainerCallback):
        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if state.global_step >= state.max_steps:
                control.should_save = False

        def on_save(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if state.is_world_process_zero:
                folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
                sync(folder)
                mark(folder)

    return StateMarker()


def tensorboard_writer(folder: Path) -> Any:
    """A callback that writes every metric to TensorBoard.

    Raises:
        ConfigError: no writer is installed, or the folder cannot be made.
    """
    from transformers.integrations import integration_utils

    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ConfigError("--tensorboard needs tensorboardX: pip install 'rro-sdk[train]'") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write TensorBoard events to {folder}: {error.strerror}") from error
    callback: Any = integration_utils.TensorBoardCallback
    return callback(tb_writer=SummaryWriter(logdir=str(folder)))
