"""Feed the pairs to another trainer: here a plain PyTorch loop would start, with nothing of TRL.

    python examples/another_trainer.py runs/quickstart

Reads a run's journal, so it works on any run, also one that is still going on. Shows the three things that a
trainer needs of a pair (the prompt's messages and the two actions) and weighs each pair by its margin.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import rro_sdk as rro


def batches(run: Path, size: int) -> Iterator[list[dict[str, object]]]:
    """Batches of what a DPO-like loss takes: prompt messages, two completions, a weight in (0, 1]."""
    with rro.Journal.open(run) as journal:
        rows = (
            {
                "messages": [{"role": message.role, "content": message.content} for message in pair.prompt],
                "chosen": pair.chosen,
                "rejected": pair.rejected,
                "weight": pair.chosen_reward - pair.rejected_reward,
            }
            for pair in rro.pairs_of(journal.events())
        )
        while batch := list(islice(rows, size)):
            yield batch


def main(run: Path) -> None:
    for number, batch in enumerate(batches(run, size=4), start=1):
        mean = sum(float(str(row["weight"])) for row in batch) / len(batch)
        print(f"batch {number}: {len(batch)} pairs, mean margin {mean:.2f}, {len(json.dumps(batch)):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart"))
