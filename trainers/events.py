"""What a trainer's process tells its parent: one JSON object a line."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from rro_sdk import errors
from rro_sdk.errors import RROError, TrainingError

__all__ = [
    "Alive",
    "Done",
    "Event",
    "Failed",
    "LeftOut",
    "Rows",
    "Stage",
    "Step",
    "TrainResult",
    "Warned",
    "decode",
    "encode",
]


class LeftOut(msgspec.Struct, frozen=True):
    """A row that is not trained on: its line in the file and why, without its text."""

    line: int
    reason: str


class TrainResult(msgspec.Struct, frozen=True):
    """What a finished training run left behind.

    Attributes:
        path: the checkpoint's folder. log: the trainer's log, beside it.
        rows_total: rows of the file. rows_used: rows that were trained on at least once.
        rows_left_out: rows that cannot be trained on (only with `allow_drop`).
        sequences: sequences the rows became; fewer where rows continue one another.
        steps: optimizer steps. first_loss, final_loss: of the first and the last of them.
        first_metrics, metrics: the trainer's own figures at the first and the last step.
        seconds: wall time by stage. rows_per_second: while training, repeats counted.
        peak_rss_mb: largest resident memory of the trainer's process, in MB.
        cpu_s: its CPU time; of the first, where several train, and since the step that it went on from.
        weights_sha256: of the saved weights (`rro_sdk.checkpoint.content_hash`).
        reference: folder of the reference model; empty where the method has none.
        resumed_from: the step that an interrupted training went on from; 0: it began anew.
        warnings: what was found about the data, one sentence each.
    """

    path: str
    log: str
    method: str
    rows_total: int
    rows_used: int
    rows_left_out: tuple[LeftOut, ...]
    sequences: int
    steps: int
    first_loss: float
    final_loss: float
    first_metrics: dict[str, float]
    metrics: dict[str, float]
    seconds: dict[str, float]
    rows_per_second: float
    peak_rss_mb: float
    weights_sha256: str
    reference: str = ""
    resumed_from: int = 0
    warnings: tuple[str, ...] = ()
    cpu_s: float | None = None


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """A stage began: "load", "check", "train" or "save"."""

    name: str


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """The data was checked."""

    total: int
    used: int
    left_out: tuple[LeftOut, ...]
    sequences: int


class Step(msgspec.Struct, frozen=True, tag="step"):
    """An optimizer step ended. `metrics` are the trainer's own figures."""

    step: int
    steps: int
    loss: float
    metrics: dict[str, float]


class Warned(msgspec.Struct, frozen=True, tag="warned"):
    """Something to know about the data that does not keep it from being trained on."""

    message: str


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """A stage that has no steps to tell of goes on. `trainers.process` keeps it to itself."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The checkpoint is whole, in its hidden folder."""

    result: TrainResult


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The trainer gave up. `kind` is the name of a class of rro_sdk.errors."""

    kind: str
    message: str

    def error(self) -> RROError:
        """The error to raise in the parent."""
        kind = getattr(errors, self.kind, None) if self.kind in errors.__all__ else None
        if isinstance(kind, type) and issubclass(kind, RROError):
            return kind(self.message)
        return TrainingError(self.message)


Event: TypeAlias = Stage | Rows | Warned | Step | Alive | Done | Failed


def encode(event: Event) -> bytes:
    """One line, newline included."""
    return msgspec.json.encode(event) + b"\n"


def decode(line: bytes) -> Event:
    """Read one line.

    Raises:
        TrainingError: the line is not an event.
    """
    try:
        event: Event = msgspec.json.decode(line, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrainingError("the trainer's process sent a line that is not an event") from error
    return event
