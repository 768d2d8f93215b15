"""What every trainer's process does: check, load, train, save. Runs in the child only.

`trainers.sft`, `dpo`, `kto` and `reward` say what is their own: how rows become a data set, and which TRL
trainer takes it. Under `accelerate launch` there are several such processes; the first of each machine talks
to the parent, and the first of all saves. Weights are float32 under bfloat16 autocast on CPU and CUDA alike,
because pure bfloat16 weights do not learn at these learning rates.
"""

from __future__ import annotations

import hashlib
import json
import logging
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
from typing import Any, TypeVar

import msgspec
from safetensors import SafetensorError

from rro_sdk.checkpoint import content_hash
from rro_sdk.errors import ConfigError, RROError, TrainingError
from trainers.events import Done, Event, Failed, Rows, Stage, TrainResult, Warned, encode
from trainers.fitting import Encoded, fit
from trainers.heartbeat import Heartbeat
from trainers.loading import (
    adapter,
    encode_rows,
    length_limit,
    load_model,
    load_tokenizer,
    on_cpu,
    prepare,
    score_trained_positions_only,
)
from trainers.ordering import fix_order
from trainers.origin import describe_origin, find_run, token_warnings
from trainers.processes import count, is_sharded, place, place_on_machine
from trainers.resuming import KEPT, begin_or_go_on, state_folder
from trainers.room import found_full, no_room
from trainers.rows import parse_rows, read_content
from trainers.saving import save, sync, write_manifest, write_metrics
from trainers.settings import TrainSettings
from trainers.watching import history, state_marker, step_reporter, tensorboard_writer

__all__ = ["Job", "Plan", "carry_out", "common_arguments", "main", "places"]

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
    """A built trainer, how many sequences it goes through, and how many rows they hold.

    `lengths`: tokens of each sequence, where batches are to be of about equal ones; `in_order`: every epoch
    goes through the data set as it stands.
    """

    trainer: Any
    sequences: int
    rows: int
    lengths: tuple[int, ...] | None = None
    in_order: bool = False


class Channel:
    """The line to the parent. Anything else that is printed goes to the log."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._open = place_on_machine() == 0
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        if self._open:
            with self._lock:  # a long line is not written at once
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
        with Heartbeat(channel.send) as heartbeat:
            result = carry_out(settings, build, work, log, heartbeat.send)
    except RROError as error:
        _log.error("%s", error)
        channel.send(Failed(type(error).__name__, str(error)))
        return error.exit_code
    except (RuntimeError, ValueError, OSError, MemoryError, SafetensorError) as error:
        # What torch and TRL raise. The text can hold data, so it goes to the log and its type to the parent.
        _log.exception("the trainer failed")
        if found_full(error, [log.parent]):
            says = no_room(log.parent)
        else:
            says = f"the trainer failed ({_describe_failure(error)}): see {log}"
        channel.send(Failed(TrainingError.__name__, says))
        return 1
    channel.send(Done(result))
    return 0


def carry_out(
    settings: TrainSettings,
    build: Callable[[Job], Plan],
    work: Path,
    log: Path,
    send: Callable[[Event], None],
) -> TrainResult:
    """Train in this process and leave the checkpoint at `work`/checkpoint; `send` is told as it goes.

    Raises:
        RROError: see `trainers.process.train`.
    """
    clock = _Clock(send)
    clock.begin("check")
    tokenizer = load_tokenizer(settings.model)
    limit = length_limit(settings)
    content = read_content(settings.data, settings.method)
    rows = parse_rows(content, str(settings.data), settings.method, allow_drop=settings.allow_drop)
    kept, left_out = fit(
        encode_rows(rows, tokenizer, settings),
        limit,
        settings.method,
        allow_drop=settings.allow_drop,
        name=str(settings.data),
    )
    _log.info("%d rows, %d left out", len(rows), len(left_out))
    data_sha256 = hashlib.sha256(content).hexdigest()
    origin = find_run(settings.data)
    warnings = token_warnings(origin, rows, settings.method, settings.model, tokenizer, settings.sampled_with)
    for warning in warnings:
        send(Warned(warning))
    keeps_states = settings.save_every is not None or settings.resume
    state = begin_or_go_on(settings, data_sha256) if keeps_states else None
    watched = settings.tensorboard if place() == 0 else None
    writer = None if watched is None else tensorboard_writer(watched)
    if settings.lora and is_sharded():
        raise ConfigError("an adapter cannot be merged from sharded weights: take --full, or --launch ddp")

    clock.begin("load")
    import torch
    import transformers

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    cpu = on_cpu(settings)
    transformers.set_seed(settings.seed)
    model = prepare(load_model(settings.model, settings.method), settings)
    if cpu:
        score_trained_positions_only()
    order = list(range(len(kept)))
    random.Random(settings.seed).shuffle(order)
    lora = adapter(settings) if settings.lora else None
    clock.begin("prepare")
    scratch = state_folder(settings.out) if keeps_states else work / "scratch"
    plan = build(Job(settings, model, tokenizer, kept, scratch, lora, cpu, tuple(order)))
    send(Rows(len(rows), plan.rows, left_out, plan.sequences))

    if not plan.in_order:
        fix_order(
            plan.trainer,
            settings.seed,
            lengths=plan.lengths,
            batch=settings.batch_size * settings.grad_accum,
        )
    for callback in (step_reporter(send), state_marker(), writer):
        if callback is not None:
            plan.trainer.add_callback(callback)
    clock.begin("train")
    resumed_from = 0 if state is None else int(state.name.rpartition("-")[2])
    plan.trainer.train(resume_from_checkpoint=None if state is None else str(state))
    steps = history(plan.trainer.state)
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
        rows_per_second=round(
            _rows_seen(plan, settings, steps[-1].step - resumed_from) / max(seconds["train"], 1e-9), 3
        ),
        peak_rss_mb=0.0,
        weights_sha256="",
        reference=str(settings.reference_model or ""),
        resumed_from=resumed_from,
        warnings=tuple(warnings),
    )
    folder = work / "checkpoint"
    save(plan.trainer, tokenizer, settings, folder)
    if place() == 0:
        result = msgspec.structs.replace(
            result,
            weights_sha256=content_hash(folder),
            seconds=clock.end(),
            peak_rss_mb=round(_peak_rss_mb(), 1),
            cpu_s=round(time.process_time(), 1),
        )
        write_metrics(folder, steps)
        write_manifest(folder, settings, result, data_sha256, describe_origin(origin, rows))
        sync(folder)
    plan.trainer.accelerator.wait_for_everyone()
    return result


def common_arguments(job: Job) -> dict[str, Any]:
    """Arguments that the configurations of all trainers take alike."""
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
        "save_strategy": "no" if settings.save_every is None else "steps",
        "save_steps": settings.save_every or 1,
        "save_total_limit": KEPT,
        "report_to": [],
        "disable_tqdm": True,
        "seed": settings.seed,
        "data_seed": settings.seed,
    }


def places(settings: TrainSettings) -> int | None:
    """How many sequences the asked-for steps go through, repeats counted; None for whole epochs."""
    if settings.steps is None:
        return None
    return settings.steps * _sequences_per_step(settings)


def _sequences_per_step(settings: TrainSettings) -> int:
    return settings.batch_size * settings.grad_accum * count()


class _Clock:
    """Wall time by stage; tells the parent as each begins."""

    def __init__(self, send: Callable[[Event], None]) -> None:
        self._send = send
        self._seconds: dict[str, float] = {}
        self._name = ""
        self._since = time.monotonic()

    def begin(self, name: str) -> dict[str, float]:
        seconds = self.end()
        self._name = name
        self._send(Stage(name))
        return seconds

    def end(self) -> dict[str, float]:
        now = time.monotonic()
        if self._name:
            self._seconds[self._name] = round(now - self._since, 2)
        self._name, self._since = "", now
        return dict(self._seconds)


def _rows_seen(plan: Plan, settings: TrainSettings, steps: int) -> float:
    return steps * _sequences_per_step(settings) * plan.rows / plan.sequences


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
