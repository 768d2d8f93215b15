"""TRL's conversational preference format: `prompt`, `chosen`, `rejected` as message lists.

The history is in `prompt` and each side is one assistant action, so that no observation is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.types import PreferencePair

_encoder = msgspec.json.Encoder()


def to_row(pair: PreferencePair) -> dict[str, Any]:
    """One DPO row; the columns beside TRL's three say where it came from, and trainers ignore them."""
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in pair.prompt],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
        "id": pair.id,
        "task_id": pair.task_id,
        "step": pair.step,
        "chosen_reward": pair.chosen_reward,
        "rejected_reward": pair.rejected_reward,
        "weight_version": pair.weight_version,
    }


def write_pairs(pairs: Iterable[PreferencePair], path: Path) -> int:
    """Write pairs as JSON Lines, sorted by id so that the file does not depend on the order of replies.

    Returns:
        The number of rows.
    """
    ordered = sorted(pairs, key=lambda pair: (pair.task_id, pair.step))
    return write_lines(path, (_encoder.encode(to_row(pair)) for pair in ordered))
