"""Every write of a short run fails in turn: `python -m tests.chaos.failing_disk LIBRARY FOLDER [EVERY]`.

LIBRARY is failing_disk.c, compiled, and preloaded into this process. Prints, as JSON, how many calls a run
makes and how its failures showed.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from rro_sdk.checking import check
from rro_sdk.errors import JournalError
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from tests.chaos.child import reply, tasks
from tests.toys import ScriptedPolicy, ToyEnv


async def explore(run: Path) -> None:
    policy = ScriptedPolicy(default=lambda seed: reply((), seed, 0))
    method = RisingReward(rollouts=2, max_candidates=2)
    async with Sampler(
        ToyEnv(), policy=policy, method=method, run_dir=run, resume=True, tasks_in_flight=2
    ) as sampler:
        async for _ in sampler.events(tasks(3)):
            pass


def main(library: str, folder: str, every: str = "1") -> None:
    disk = ctypes.CDLL(library)
    whole, run = Path(folder) / "whole", Path(folder) / "run"
    disk.disk_arm(str(whole).encode(), 0, 0)
    asyncio.run(explore(whole))
    calls = disk.disk_disarm()
    expected = (whole / "pairs.jsonl").read_bytes()
    shown: Counter[str] = Counter()
    for number in (errno.ENOSPC, errno.EIO):
        for call in range(1, calls + 1, int(every)):
            disk.disk_arm(str(run).encode(), call, number)
            try:
                asyncio.run(explore(run))
                shown["went on"] += 1  # SQLite tried again by itself, or had no need of that call
            except JournalError as error:
                assert error.exit_code == 1
                assert str(run) in str(error), error
                shown["error"] += 1
            finally:
                disk.disk_disarm()
            asyncio.run(explore(run))
            assert (run / "pairs.jsonl").read_bytes() == expected, f"call {call} with error {number}"
            found = check(run)
            assert (found.problems, found.owed) == ((), {}), found
            assert [path.name for path in run.iterdir() if path.suffix == ".tmp"] == []
            shutil.rmtree(run)
    print(json.dumps({"calls": calls, **shown}))


if __name__ == "__main__":
    main(*sys.argv[1:])
