"""What the stages of one seed leave, as plain data on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.errors import ConfigError, DataError

FEW_SHOT, SFT = "few-shot", "sft"
"""Policies without preference training: before and after SFT."""

T = TypeVar("T")


class Sampled(msgspec.Struct, frozen=True):
    """What a method cost and gave on the tasks of one variant.

    Attributes:
        tasks: explored and finished.
        steps: explored steps, or comparisons of a search.
        candidates: drawn over these steps.
        null: candidates a step under the null of no improvement; None for methods that judge none.
        rollouts, pairs: over these tasks.
        generated, prompt: tokens of the recorded replies.
        seconds: wall time of the sampling, shared out to these tasks by their generated tokens.
        outcome: mean outcome of the explored trajectories, in [0, 1].
        failed: tasks of the variant that were set aside for a fault of the environment or of their data.
        weight_version: of the policy that explored.
        short: there were too few tasks to spend the budget of tokens on.
        cpu_s: CPU time of the server meanwhile, shared out likewise; None where it was not started here, or
            where the sampling was broken off in between.
    """

    tasks: int
    steps: int
    candidates: int
    null: float | None
    rollouts: int
    pairs: int
    generated: int
    prompt: int
    seconds: float
    outcome: float | None
    short: bool = False
    cpu_s: float | None = None
    failed: int = 0
    weight_version: str = ""


class Trained(msgspec.Struct, frozen=True):
    """A DPO: its rows, those left out, its steps, wall and CPU seconds. Zero rows: nothing was trained."""

    rows: int
    left_out: int
    steps: int
    seconds: float
    cpu_s: float | None = None


class Evaluated(msgspec.Struct, frozen=True):
    """Outcomes in [0, 1] on the held-out tasks, in their order, and who served them."""

    outcomes: tuple[float, ...]
    weight_version: str


class Thirds(msgspec.Struct, frozen=True, omit_defaults=True):
    """Share of steps whose reward rises (>=), and strictly so, by thirds of the trajectory (Table 2).

    `weight_version`: of the policy, for a seed's own.
    """

    rising: tuple[float | None, float | None, float | None]
    strictly: tuple[float | None, float | None, float | None]
    weight_version: str = ""


class SeedResult(msgspec.Struct, frozen=True):
    """One seed. Keys are `few-shot`, `sft` and `ARM/VARIANT`.

    Attributes:
        evaluated: greedily, by policy.
        sampled, trained: by arm and variant.
        thirds: share of rising steps by thirds of the trajectory on held-out tasks, by policy (Table 2).
        drawn: at the temperature of the exploration, means over the times that each task was played; by
            policy, where asked for.
    """

    seed: int
    evaluated: dict[str, Evaluated]
    sampled: dict[str, Sampled]
    trained: dict[str, Trained]
    thirds: dict[str, Thirds]
    drawn: dict[str, Evaluated] = {}


def read(path: Path, kind: type[T]) -> T | None:
    """A stage's result; None where it is not there yet.

    Raises:
        DataError: the file holds something else.
        ConfigError: it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"cannot read {path} ({error.strerror}): is --out the folder of an experiment?"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"{path} is no result of a stage ({error}); remove it to do the stage again"
        ) from None


def write(path: Path, result: object) -> None:
    """Write a stage's result, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_lines(path, [msgspec.json.encode(result)])
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
