"""Running a trainer in its own process, so that the caller never loads torch.

The child works in a hidden folder beside the target. Only when it has reported a whole checkpoint and
ended well is that folder renamed to the target: a failure, Ctrl-C or a kill at any moment leaves none.
The child ends by itself when its standard input closes, so it does not outlive a parent that was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

import msgspec

from rro_sdk.atomic import refuse_taken, sync_folder
from rro_sdk.checkpoint import Checkpoint, describe
from rro_sdk.errors import CheckpointError, ConfigError, TrainingError
from trainers.events import Alive, Done, Event, Failed, Step, TrainResult, decode
from trainers.launching import command, machine_of
from trainers.leftovers import forget_finished, hidden, hold_log, log_of, remove_partials
from trainers.listening import lines
from trainers.nodes import Nodes
from trainers.resuming import forget_torn, refuse_foreign, refuse_unfinished, state_folder
from trainers.room import refuse_full_disk
from trainers.rows import read_rows
from trainers.settings import DPOSettings, KTOSettings, RewardSettings, SFTSettings, TrainSettings

__all__ = ["surroundings", "train", "train_dpo", "train_kto", "train_reward", "train_sft"]

SILENCE_LIMIT_S = 3600.0
"""A trainer that reports nothing for so long is taken for hung; no step worth waiting for takes longer, and
stages without steps say that they go on (`trainers.heartbeat`)."""

_GRACE_S = 10.0
_LEAVES_S = 300.0
"""A trainer that has said all takes seconds to leave, on a machine that swaps or is crowded a minute."""
_STATUS_FOR_BAD_INPUT = 2


def train_sft(
    settings: SFTSettings,
    *,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    nodes: Nodes | None = None,
) -> TrainResult:
    """Supervised fine-tuning; see `train`."""
    return train(settings, on_event=on_event, stop=stop, nodes=nodes)


def train_dpo(
    settings: DPOSettings,
    *,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    nodes: Nodes | None = None,
) -> TrainResult:
    """Direct preference optimization; see `train`."""
    return train(settings, on_event=on_event, stop=stop, nodes=nodes)


def train_kto(
    settings: KTOSettings,
    *,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    nodes: Nodes | None = None,
) -> TrainResult:
    """Kahneman-Tversky optimization; see `train`."""
    return train(settings, on_event=on_event, stop=stop, nodes=nodes)


def train_reward(
    settings: RewardSettings,
    *,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    nodes: Nodes | None = None,
) -> TrainResult:
    """A reward model; see `train`. No server of this SDK serves one."""
    return train(settings, on_event=on_event, stop=stop, nodes=nodes)


def train(
    settings: TrainSettings,
    *,
    on_event: Callable[[Event], None] | None = None,
    stop: threading.Event | None = None,
    nodes: Nodes | None = None,
    silence_limit_s: float = SILENCE_LIMIT_S,
) -> TrainResult:
    """Train in a child process and put the checkpoint at `settings.out`, whole or not at all.

    Args:
        settings: what to train.
        on_event: called in this thread with each event as it arrives.
        stop: set it from another thread to end the training; `TrainingError` follows.
        nodes: of a Ray cluster, on which the trainers run; every one sees the paths of `settings`. None: they
            run here.
        silence_limit_s: seconds without an event after which the child is ended.

    Raises:
        ConfigError: a path is wrong, `settings.out` is taken or being trained into, an interrupted training
            lies beside it that `settings.resume` does not go on with, the disk has no room, or the cluster
            does not have these nodes.
        DataError: a row cannot be trained on.
        CheckpointError: `settings.model` is not a checkpoint that can be trained.
        TrainingError: the trainer failed, was stopped, or fell silent; names its log.
    """
    out = settings.out.absolute()
    forget_finished(out)
    refuse_taken(out)
    refuse_foreign(settings)
    refuse_unfinished(settings)
    start = command(settings, nodes)
    model = describe(settings.model, with_hash=False)
    _refuse_other_vocabulary(settings, model)
    read_rows(settings.data, settings.method, allow_drop=settings.allow_drop)
    refuse_full_disk(settings, model)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write beside {out}: {error.strerror}") from error
    machine = 0 if nodes is not None else machine_of(settings)
    with hold_log(out, machine) as log:
        refuse_taken(out)  # whoever held the log until now may have finished
        alone = settings.launch is None or nodes is not None
        if alone:  # else another machine, which may not see the lock, can be at work here
            remove_partials(out)
        if machine == 0:
            forget_torn(settings)
        log.truncate(0)
        try:
            work = Path(tempfile.mkdtemp(prefix=hidden(out), dir=out.parent))
        except OSError as error:
            raise ConfigError(f"cannot write beside {out}: {error.strerror}") from error
        try:
            result = _run(settings, start, work, machine, log, on_event or _ignore, stop, silence_limit_s)
            if alone or (work / "checkpoint").is_dir():  # else another machine saved it
                try:
                    (work / "checkpoint").rename(out)
                except OSError as error:
                    raise TrainingError(f"cannot put the checkpoint at {out}: {error.strerror}") from error
                sync_folder(out.parent)
            shutil.rmtree(state_folder(out), ignore_errors=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            if alone:  # states begun and not whole are of use to nobody
                forget_torn(settings)
    return result


def _run(
    settings: TrainSettings,
    start: Sequence[str],
    work: Path,
    machine: int,
    stderr: IO[bytes],
    on_event: Callable[[Event], None],
    stop: threading.Event | None,
    silence_limit_s: float,
) -> TrainResult:
    orders, log = work / "settings.json", log_of(settings.out.absolute(), machine)
    orders.write_bytes(msgspec.json.encode(_as_json(settings)))
    step, result, bad_input = 0, None, False
    try:
        # Its own session, so that Ctrl-C reaches this process alone, which then ends the child in order.
        child = subprocess.Popen(
            [*start, str(orders), str(work), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(settings),
            start_new_session=True,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            stopped = "training was stopped before it had a checkpoint"
            silent = f"the trainer said nothing for {silence_limit_s:g} s: see {log}"
            for line in lines(child.stdout, stop, silence_limit_s, stopped=stopped, silent=silent):
                event = decode(line)
                if isinstance(event, Failed):
                    failure = event.error()
                    bad_input = failure.exit_code == _STATUS_FOR_BAD_INPUT
                    raise failure
                if isinstance(event, Step):
                    step = event.step
                if isinstance(event, Done):
                    result = event.result
                if not isinstance(event, Alive):
                    on_event(event)
            status = child.wait(timeout=_LEAVES_S)
        except subprocess.TimeoutExpired as expired:
            raise TrainingError(f"the trainer closed its output and did not end: see {log}") from expired
        finally:
            _end(child)
    finally:
        if bad_input:
            log.unlink(missing_ok=True)  # the message says it all, and nothing was trained
    if status != 0 or result is None:
        raise TrainingError(f"the trainer {_ending(status)} after step {step}: see {log}")
    return result


def _refuse_other_vocabulary(settings: TrainSettings, model: Checkpoint) -> None:
    reference = settings.reference_model
    if reference is None or reference == settings.model:
        return
    found = describe(reference, with_hash=False).vocab_size
    if found != model.vocab_size:
        raise CheckpointError(
            f"reference {reference} has a vocabulary of {found} and {settings.model} one of"
            f" {model.vocab_size}: the reference must read the same tokens"
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no child behind: ask, then insist."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(timeout=_GRACE_S)
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()


def _environment(settings: TrainSettings) -> dict[str, str]:
    return {
        # Threads that wait by spinning take the core from whoever they wait for: with two busy neighbours on
        # two cores a training took 76 s spinning and 31 s waiting passively.
        "OMP_WAIT_POLICY": "passive",
        **os.environ,
        **surroundings(settings, settings.threads or available_cores()),
    }


def surroundings(settings: TrainSettings, threads: int) -> dict[str, str]:
    """Environment variables that a trainer's process must have, wherever it runs."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        # Models and data are local folders: no call to a hub, no telemetry, no run trackers.
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "WANDB_MODE": "disabled",
        "TQDM_DISABLE": "1",
        # One process, one device: TRL refuses the DataParallel that several visible GPUs would bring.
        **({} if settings.launch else {"CUDA_VISIBLE_DEVICES": _one_device(settings)}),
        "PYTHONUNBUFFERED": "1",
    }


def available_cores() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _one_device(settings: TrainSettings) -> str:
    if settings.device == "cpu":
        return ""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def _as_json(settings: TrainSettings) -> dict[str, Any]:
    """The settings with absolute paths, as the child and the manifest keep them."""
    return {
        item.name: str(value.absolute()) if isinstance(value, Path) else value
        for item in fields(settings)
        for value in (getattr(settings, item.name),)
    }


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    return f"was ended by {name}" + (" (out of memory?)" if -status == signal.SIGKILL else "")


def _ignore(_event: Event) -> None:
    return None
