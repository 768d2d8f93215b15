"""What a sampler tells of itself in its run's folder, and what becomes of the sampler where it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from rro_sdk.errors import EnvironmentFault, RROError
from rro_sdk.inference.slot import ServerStatus
from rro_sdk.live import publish
from rro_sdk.live.publish import PACE_S, Doing, Publisher
from rro_sdk.live.status import SILENT_HERE_S, SILENT_S, STATUS_NAME, SamplerStatus, ServerLoad, phase_of
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task, Usage
from tests.toys import ScriptedPolicy, ToyEnv

TASKS = [Task(f"t{number}", "solve it") for number in range(3)]


def told(run: Path) -> SamplerStatus:
    return msgspec.json.decode((run / STATUS_NAME).read_bytes(), type=SamplerStatus)


def sampler(run: Path, policy: ScriptedPolicy | None = None) -> Sampler:
    return Sampler(ToyEnv(), policy=policy or ScriptedPolicy(), method=RisingReward(rollouts=1), run_dir=run)


async def test_a_sampler_tells_how_it_ended(tmp_path: Path) -> None:
    async with sampler(tmp_path / "done") as exploring:
        async for _ in exploring.events(TASKS):
            pass
    status = told(tmp_path / "done")
    assert (status.ended, status.given, status.running) == ("finished", 3, 0)
    assert status.usage == exploring.stats.tokens
    assert [path.name for path in (tmp_path / "done").iterdir() if path.suffix == ".tmp"] == []

    with pytest.raises(asyncio.CancelledError):
        async with sampler(tmp_path / "left") as exploring:
            async for _ in exploring.events(TASKS):
                raise asyncio.CancelledError
    assert told(tmp_path / "left").ended == "interrupted"

    with pytest.raises(RROError):
        async with sampler(tmp_path / "broken", ScriptedPolicy(default=_fault)) as exploring:
            async for _ in exploring.events(TASKS):
                pass
    assert told(tmp_path / "broken").ended == "failed"


def _fault(seed: int) -> str:
    raise EnvironmentFault("the toy policy broke")


async def test_tasks_that_cannot_be_counted_are_not(tmp_path: Path) -> None:
    async with sampler(tmp_path / "run") as exploring:
        async for _ in exploring.events(task for task in TASKS):
            pass
    assert told(tmp_path / "run").given is None


async def test_a_resumed_sampler_tells_what_it_began_with(tmp_path: Path) -> None:
    for given in (TASKS[:2], TASKS):
        exploring = Sampler(
            ToyEnv(),
            policy=ScriptedPolicy(),
            method=RisingReward(rollouts=1),
            run_dir=tmp_path / "run",
            resume=True,
        )
        async with exploring:
            async for _ in exploring.events(given):
                pass
    status = told(tmp_path / "run")
    assert (status.given, status.closed_before) == (3, 2)


async def test_a_folder_that_takes_no_file_is_none_of_the_samplers_business(tmp_path: Path) -> None:
    exploring = sampler(tmp_path / "run")
    async with exploring:
        async for _ in exploring.events(TASKS):
            path = tmp_path / "run" / STATUS_NAME
            if not path.is_dir():
                path.unlink(missing_ok=True)
                path.mkdir()
    assert exploring.stats.tasks_finished == 3
    assert (tmp_path / "run" / "pairs.jsonl").exists()


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


def test_the_pace_is_that_of_the_last_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(publish, "time", clock)
    made = {"a": 0, "b": 0}

    def doing() -> Doing:
        servers = tuple(ServerStatus(url, usage=Usage(0, 0, count)) for url, count in made.items())
        return Doing(1, 10, 0, Usage(), sum((each.usage for each in servers), Usage()), "v", servers)

    publisher = Publisher(tmp_path, doing)
    assert publisher.status().generated_per_s == 0.0
    for _ in range(30):  # a hundred tokens a second on one, nothing on the other
        clock.now += 1.0
        made["a"] += 100
        status = publisher.status()
    assert status.generated_per_s == pytest.approx(100.0)
    assert [each.generated_per_s for each in status.servers] == pytest.approx([100.0, 0.0])
    for _ in range(int(PACE_S / 2)):
        clock.now += 1.0
        status = publisher.status()
    assert status.generated_per_s == pytest.approx(50.0), "half of the last ten seconds"
    assert status.elapsed_s == 35.0


def test_whether_a_run_is_being_sampled() -> None:
    status = SamplerStatus(1, "here", 100.0, 1.0, 0, None, 0, Usage(), Usage(), 0.0, "")
    assert phase_of(None, now=100.0, alive=None) == "unknown"
    assert phase_of(status, now=101.0, alive=True) == "sampling"
    assert phase_of(status, now=101.0, alive=None) == "sampling", "another machine's process"
    assert phase_of(status, now=101.0, alive=False) == "lost"
    assert phase_of(status, now=101.0 + SILENT_S, alive=None) == "lost"
    assert phase_of(status, now=101.0 + SILENT_S, alive=True) == "sampling", "held up, but there"
    assert phase_of(status, now=101.0 + SILENT_HERE_S, alive=True) == "lost", "it is another's number by now"
    ended = msgspec.structs.replace(status, ended="interrupted")
    assert phase_of(ended, now=1e9, alive=False) == "interrupted"


def test_a_status_of_another_version_is_read_as_far_as_it_goes() -> None:
    """Fields that were added are skipped, so that an older `rro watch` can look at a newer run."""
    server = ServerLoad("http://127.0.0.1:1", generated_per_s=2.0)
    status = SamplerStatus(1, "here", 1.0, 1.0, 0, None, 0, Usage(), Usage(), 0.0, "", (server,))
    plain = {**msgspec.to_builtins(status), "later": 1}
    assert msgspec.json.decode(msgspec.json.encode(plain), type=SamplerStatus) == status
