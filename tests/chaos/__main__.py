"""`make chaos`: kill runs until there were enough kills, or the time is over.

python -m tests.chaos [--kills 200] [--minutes 18] [--seed 0]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.harness import Chaos


async def main(kills: int, minutes: float, seed: int) -> int:
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="rro-chaos-") as folder:
        async with Chaos(Path(folder), count=8, seed=seed) as chaos:
            await chaos.one_run(chaos.named_points())
            while (done := sum(chaos.report.kills.values())) < kills and time.monotonic() < until:
                await chaos.one_run(chaos.random_points(6))
    print(f"chaos: {chaos.report}")
    return 0 if done >= kills else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    sys.exit(asyncio.run(main(settings.kills, settings.minutes, settings.seed)))
