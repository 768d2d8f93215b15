"""The loop with servers that it starts itself, and runs that are made apart from it."""

from __future__ import annotations

import shutil
from itertools import count
from typing import Any

from servers.fake import FakeServer, FakeSettings
from servers.settings import ServerSettings
from tests.iterate.bench import Bench
from tests.iterate.world import tree, unwatched
from trainers.iterate import LoopSummary, Parts, iterate, parse_config


class Machines:
    """Stands for a machine that starts servers: each start is a fake server of its own."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.events: list[str] = []
        self._pid = count(1000)
        self.running = 0

    def make(self, settings: ServerSettings, number: int) -> Any:
        machines, bench = self, self._bench

        class Started:
            def __init__(self) -> None:
                self.fakes = [
                    FakeServer(
                        FakeSettings(
                            reply=bench.reply,
                            model_path=str(settings.model),
                            weight_version=settings.weight_version,
                        )
                    )
                    for _ in range(number)
                ]
                self.pids: tuple[int, ...] = ()

            @property
            def urls(self) -> tuple[str, ...]:
                return tuple(fake.url for fake in self.fakes)

            def alive(self) -> bool:
                return bool(self.pids)

            async def __aenter__(self) -> object:
                machines.events.append(f"start {settings.weight_version}")
                self.pids = tuple(next(machines._pid) for _ in self.fakes)
                machines.running += 1
                for fake in self.fakes:
                    await fake.start()
                return self

            async def __aexit__(self, *error: object) -> None:
                machines.events.append("stop")
                machines.running -= 1
                for fake in self.fakes:
                    await fake.stop()

        return Started()

    async def run(self, **changes: Any) -> LoopSummary:
        bench = self._bench

        def train(settings: Any, **kwargs: Any) -> Any:
            self.events.append(f"train beside {self.running}")
            return bench.trainer(settings, **kwargs)

        config = parse_config(tree(bench.folder, **changes))
        parts = Parts(make_servers=self.make, train_sft=train, train_dpo=train)
        return await iterate(config, say=bench.said.append, watch=unwatched, parts=parts)


async def test_servers_of_their_own_are_started_once(bench: Bench) -> None:
    machines = Machines(bench)
    summary = await machines.run(servers={"start": 2})
    first = summary.iterations[0].weight_version
    assert machines.events == ["train beside 0", f"start {first}", "train beside 1", "train beside 1", "stop"]
    assert summary.server_processes == 2
    for record in bench.records().values():
        assert {server.weight_version for server in record.servers} <= {record.weight_version}
        assert len(record.servers) == (2 if record.kind in ("reload", "sample", "evaluate") else 0)


async def test_a_shared_device_is_free_while_a_trainer_runs(bench: Bench) -> None:
    machines = Machines(bench)
    summary = await machines.run(servers={"share_device": True})
    versions = [each.weight_version for each in summary.iterations]
    assert machines.events == [
        event for version in versions for event in ("train beside 0", f"start {version}", "stop")
    ]
    assert summary.server_processes == 3


async def test_a_run_apart_gives_the_same_policies(bench: Bench) -> None:
    given_ones = await bench.run(iterations=1)
    shutil.rmtree(bench.out)
    started = await Machines(bench).run(iterations=1, servers={"share_device": True})
    for one, other in zip(given_ones.iterations, started.iterations, strict=True):
        assert one.weight_version == other.weight_version
