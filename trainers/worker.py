"""What both trainers' processes do: check, load, train, save. Runs in the child only.

`trainers.sft` and `trainers.dpo` say what is their own: how rows become a data set, and which TRL trainer
takes it. Weights are float32 under bfloat16 autocast on CPU and CUDA alike, because pure bfloat16 weights
do not learn at these learning rates.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from rro_sdk.errors import RROError, TrainingError
from trainers.events import Done, Event, Failed, Rows, Stage, Step, TrainResult, encode
from trainers.fitting import Encoded, fit
from trainers.loading import (
    adapter,
    encode_rows,
    length_limit,
    load_model,
    load_tokenizer,
    on_cpu,
    score_trained_positions_only,
)
from trainers.rows import read_rows
from trainers.saving import save, sync, write_manifest
from trainers.settings import TrainSettings
from trainers.sharing import can_share, share_prefixes

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

__all__ = ["Job", "Plan", "common_arguments", "main"]

_log = logging.getLogger("trainers")

S = TypeVar("S", bound=TrainSettings)


@dataclass(frozen=True)
class Job:
    """What a trainer is built from. `order`: the rows' indices, shuffled; `adapter`: LoRA, or None."""

    settings: Any
    model: Any
    tokenizer: Any
    rows: tuple[Encoded, ...]
    scratch: Path
    adapter: Any
    on_cpu: bool
    order: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A built trainer, how many sequences it goes through, and how many rows they hold."""

    trainer: Any
    sequences: int
    rows: int


class Channel:
    """The line to the parent. Anything else that is printed goes to the log."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def send(self, event: Event) -> None:
        self._out.write(encode(event))


def main(argv: Sequence[str], kind: type[S], build: Callable[[Job], Plan]) -> int:
    """Entry point of a trainer's process: `argv` is settings file, work folder, log file.

    Returns:
        The exit status; the parent learns the reason from a `Failed` event.
    """
    orders, work, log = (Path(argument) for argument in argv)
    channel = Channel()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent(work)
    try:
        settings = kind(**json.loads(orders.read_bytes()))
        result = _work(settings, build, work, log, channel)
    except RROError as error:
        _log.error("%s", error)
        channel.send(Failed(type(error).__name__, str(error)))
        return error.exit_code
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        # What torch and TRL raise. The text can hold data, so it goes to the log and its type to the parent.
        _log.exception("the trainer failed")
        what = _describe_failure(error)
        channel.send(Failed(TrainingError.__name__, f"the trainer failed ({what}): see {log}"))
        return 1
    channel.send(Done(result))
    return 0


def _work(
    settings: TrainSettings, build: Callable[[Job], Plan], work: Path, log: Path, channel: Channel
) -> TrainResult:
    clock = _Clock(channel)
    clock.begin("check")
    tokenizer = load_tokenizer(settings.model)
    limit = length_limit(settings)
    rows = read_rows(settings.data, settings.method)
    kept, left_out = fit(
        encode_rows(rows, tokenizer, settings),
        limit,
        settings.method,
        allow_drop=settings.allow_drop,
        name=str(settings.data),
    )
    _log.info("%d rows, %d left out", len(rows), len(left_out))

    clock.begin("load")
    import torch
    import transformers

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    cpu = on_cpu(settings)
    transformers.set_seed(settings.seed)
    model = load_model(settings.model)
    if settings.share_prefixes and can_share(model.config):
        share_prefixes(model.base_model)
    if cpu:
        score_trained_positions_only()
    order = list(range(len(kept)))
    random.Random(settings.seed).shuffle(order)
    lora = adapter(settings) if settings.lora else None
    clock.begin("prepare")
    plan = build(Job(settings, model, tokenizer, kept, work / "scratch", lora, cpu, tuple(order)))
    channel.send(Rows(len(rows), plan.rows, left_out, plan.sequences))

    recorder = _recorder(channel)
    plan.trainer.add_callback(recorder)
    clock.begin("train")
    plan.trainer.train()
    steps: list[Step] = recorder.seen
    if not steps:
        raise TrainingError("the trainer took no step: give it more rows or steps")
    seconds = clock.begin("save")
    result = TrainResult(
        path=str(settings.out),
        log=str(log),
        method=settings.method,
        rows_total=len(rows),
        rows_used=plan.rows,
        rows_left_out=left_out,
        sequences=plan.sequences,
        steps=steps[-1].step,
        first_loss=steps[0].loss,
        final_loss=steps[-1].loss,
        first_metrics=steps[0].metrics,
        metrics=steps[-1].metrics,
        seconds={},
        rows_per_second=round(_rows_seen(plan, settings, steps[-1].step) / max(seconds["train"], 1e-9), 3),
        peak_rss_mb=0.0,
        weights_sha256="",
    )
    folder = work / "checkpoint"
    weights = save(plan.trainer, tokenizer, settings, folder)
    result = msgspec.structs.replace(
        result, weights_sha256=weights, seconds=clock.end(), peak_rss_mb=round(_peak_rss_mb(), 1)
    )
    write_manifest(folder, settings, result)
    sync(folder)
    return result


def common_arguments(job: Job) -> dict[str, Any]:
    """Arguments that SFTConfig and DPOConfig take alike."""
    settings: TrainSettings = job.settings
    return {
        "output_dir": str(job.scratch),
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.grad_accum,
        "max_steps": settings.steps if settings.steps is not None else -1,
        "num_train_epochs": settings.passes,
        "learning_rate": settings.peak_lr,
        "warmup_steps": settings.warmup_steps,
        "lr_scheduler_type": "linear",
        "optim": "adamw_torch_fused",
        "max_length": settings.max_length,
        "bf16": True,
        "use_cpu": job.on_cpu,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "dataloader_pin_memory": not job.on_cpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": settings.seed,
        "data_seed": settings.seed,
    }


def places(settings: TrainSettings) -> int | None:
    """How many sequences the asked-for steps go through, repeats counted; None for whole epochs."""
    if settings.steps is None:
        return None
    return settings.steps * settings.batch_size * settings.grad_accum


class _Clock:
    """Wall time by stage; tells the parent as each begins."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._seconds: dict[str, float] = {}
        self._name = ""
        self._since = time.monotonic()

    def begin(self, name: str) -> dict[str, float]:
        seconds = self.end()
        self._name = name
        self._channel.send(Stage(name))
        return seconds

    def end(self) -> dict[str, float]:
        now = time.monotonic()
        if self._name:
            self._seconds[self._name] = round(now - self._since, 2)
        self._name, self._since = "", now
        return dict(self._seconds)


def _recorder(channel: Channel) -> Any:
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):
        """Passes each optimizer step on, and stops at a loss that is not a number."""

        def __init__(self) -> None:
            self.seen: list[Step] = []

        def on_log(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            logs: dict[str, Any] = kwargs["logs"]
            if "loss" not in logs:
                return
            loss = float(logs["loss"])
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {state.global_step}: lower the learning rate"
                )
            metrics = {
                name: float(value)
                for name, value in logs.items()
                if name not in ("loss", "epoch") and isinstance(value, int | float)
            }
            step = Step(state.global_step, state.max_steps, loss, metrics)
            self.seen.append(step)
            channel.send(step)

    return Recorder()


def _rows_seen(plan: Plan, settings: TrainSettings, steps: int) -> float:
    seen = (
        steps * settings.batch_size * settings.grad_accum
        if settings.steps
        else plan.sequences * settings.passes
    )
    return seen * plan.rows / plan.sequences


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _describe_failure(error: BaseException) -> str:
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return "out of memory; lower --batch-size or --max-length, or set --gradient-checkpointing"
    return type(error).__name__


def _end_with_parent(work: Path) -> None:
    """End this process when its standard input closes: the parent is gone and nobody waits."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        shutil.rmtree(work, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()
