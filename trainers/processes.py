"""This process among those of a launch, and what they must have in common. One alone is a launch of one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["as_dataset", "count", "is_sharded", "machine", "machines", "place", "place_on_machine"]


def place() -> int:
    """This process's place among all, from 0; the first saves."""
    return int(os.environ.get("RANK", "0"))


def place_on_machine() -> int:
    """This process's place among those of its machine; the first talks to the parent."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def machines() -> int:
    """On how many machines they are."""
    return count() // int(os.environ.get("LOCAL_WORLD_SIZE", str(count())))


def machine() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("GROUP_RANK", "0"))


def is_sharded() -> bool:
    """Whether no process has all of the weights: `accelerate launch` runs FSDP or DeepSpeed."""
    return any(os.environ.get(f"ACCELERATE_USE_{name}", "") == "true" for name in ("FSDP", "DEEPSPEED"))


def as_dataset(rows: Sequence[dict[str, Any]], folder: Path, *, on_cpu: bool) -> Any:
    """The rows as a data set, in one file for all processes of this machine.

    TRL's first process writes the reference's scores beside the data set's file, and the others look there;
    a data set in memory has no file, and each process would look in a folder of its own. Machines may see one
    another's folders.
    """
    from accelerate import PartialState
    from datasets import Dataset, load_from_disk

    made = Dataset.from_list(list(rows))
    if count() == 1:
        return made
    if machines() > 1:
        folder = folder.with_name(f"{folder.name}-{machine()}")
    state = PartialState(cpu=on_cpu)
    if state.is_local_main_process:
        made.save_to_disk(str(folder))
    state.wait_for_everyone()
    return load_from_disk(str(folder))
