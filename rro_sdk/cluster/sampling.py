"""`sample_on_ray`: the front door of a run on many machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from rro_sdk.cluster.crew import Totals
from rro_sdk.cluster.driver import ACCOUNT, BLOCK_TASKS, Account, Driver
from rro_sdk.cluster.ray_crew import RayCrew
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.cluster.worker import Work
from rro_sdk.errors import ConfigError
from rro_sdk.fingerprint import difference, settings_of
from rro_sdk.journal import refuse_existing
from rro_sdk.types import Task


async def sample_on_ray(
    work: Work,
    tasks: Iterable[Task],
    run_dir: Path,
    *,
    shared: str,
    address: str | None = None,
    samplers: int | None = None,
    cpus: float = 1.0,
    block_tasks: int = BLOCK_TASKS,
    resume: bool = False,
    note: Callable[[Totals], None] = lambda totals: None,
) -> Totals:
    """Sample tasks with actors on a Ray cluster, into one run folder that every command reads.

    Tasks are taken from the iterable as they are needed, and must be the same in the same order when the run
    is resumed. Cancelled, it stops the samplers and keeps what they recorded.

    Args:
        work: what each sampler is made with.
        tasks: what is explored.
        run_dir: on this machine's own disk; absent or empty, or the run with `resume`.
        shared: a folder that this machine and every node see: a path, or a URL that fsspec knows. What it
            holds of the run already, under this or another `run_dir`, is not sampled again.
        address: of the cluster; None starts Ray on this machine, for the length of the call.
        samplers: how many; by default one for each CPU of the cluster.
        cpus: that each takes.
        block_tasks: tasks that are handed out at once; a run keeps what it began with.
        resume: go on with the run in `run_dir`, if one began there.
        note: told of totals as they change.

    Raises:
        ConfigError: settings, a cluster or a shared folder that cannot be right, or nodes that differ.
        RROError: what ended the run; what was recorded is kept.
    """
    if samplers is not None and samplers < 1:
        raise ConfigError(f"a cluster's run needs at least 1 sampler, not {samplers}")
    if cpus <= 0:
        raise ConfigError(f"a sampler needs more than {cpus:g} CPUs")
    if not resume:
        refuse_existing(run_dir)
    if block_tasks < 1:
        raise ConfigError(f"a block must have at least 1 task, not {block_tasks}")
    folder = SharedFolder(shared)
    await asyncio.to_thread(refuse_other_work, folder, work)
    async with RayCrew(work, folder, size=samplers, address=address, cpus=cpus) as crew:
        generation, token = Driver.enlist(folder)
        crew.start(generation)
        driver = Driver(crew, folder, run_dir, resume=resume, block_tasks=block_tasks, note=note)
        await driver.run(tasks, generation, token)
        return driver.totals


def refuse_other_work(shared: SharedFolder, work: Work) -> None:
    """Raise where a shared folder's run has other settings, before its present driver is told to stop.

    What only nodes know, such as their data, is compared when they say hello.

    Raises:
        ConfigError: names the setting.
    """
    said, _ = shared.read_now(ACCOUNT)
    try:
        header = msgspec.json.decode(said or b"", type=Account).header
    except msgspec.DecodeError:
        return  # none yet; of one that is damaged the driver says so
    now = {
        "seed": work.seed,
        "method": {**settings_of(work.method), "name": work.method.name},
        "sampling": settings_of(work.sampling),
        "spending": settings_of(work.spending),
    }
    for name, new in msgspec.json.decode(msgspec.json.encode(now)).items():
        old = getattr(header, name)
        if isinstance(old, dict):
            old, new = ({key: each[key] for key in old if key in new} for each in (old, new))
        if (found := difference(old, new, name)) is not None:
            raise ConfigError(
                f"the run in {shared.url} cannot go on with other settings: {found};"
                " go on as it was begun, or give another --shared folder"
            )
