"""A loop on a bench: a fake server, trainers that train in no time, and what it left."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from servers.fake import FakeServer, FakeSettings, Fault, Reply
from tests.iterate.world import ToyTrainer, tree, unwatched
from trainers.iterate import LoopSummary, Parts, begun_with, iterate, parse_config
from trainers.iterate.folder import LoopFolder, StageRecord


class Bench:
    """A loop's folder, a fake server that outlives every run of it, and a trainer that counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trainer = ToyTrainer()
        self.bias: dict[str, float] = {}
        self.said: list[str] = []
        tree(folder)
        self.reply: Reply = self.scripted
        self.server = FakeServer(
            FakeSettings(reply=lambda *asked: self.reply(*asked), model_path=str(folder / "base"))
        )

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def tree(self, **changes: Any) -> dict[str, Any]:
        return tree(self.folder, **{"servers": {"urls": [self.server.url]}, **changes})

    async def run(self, **changes: Any) -> LoopSummary:
        return await self._iterate(parse_config(self.tree(**changes)))

    async def resume(self) -> LoopSummary:
        return await self._iterate(begun_with(self.out))

    async def _iterate(self, config: Any) -> LoopSummary:
        return await iterate(
            config,
            say=self.said.append,
            watch=unwatched,
            parts=Parts(train_sft=self.trainer, train_dpo=self.trainer),
        )

    def start_over(self) -> None:
        """Remove the loop; the server, whose folder goes with it, comes back with the base model."""
        shutil.rmtree(self.out)
        self.server.befall(Fault("restart"))

    def records(self) -> dict[str, StageRecord]:
        return {stage.name: record for stage, record in LoopFolder(self.out).records().items()}

    def left(self) -> dict[str, Any]:
        """All of a loop that must not depend on how often it was killed."""
        return {
            name: (record.hashes, record.inputs, record.weight_version, record.result.get("mean_outcome"))
            for name, record in self.records().items()
        }

    def scripted(self, messages: object, seed: int | None, index: int) -> str:
        """Two turns in three go on, the others end; `bias` shifts the outcome by weight version."""
        drawn = seed or 0
        if (reward := self.bias.get(self.server.weight_version)) is not None:
            return f"Action: end {reward}"
        return f"Action: go {drawn % 5}" if drawn % 3 else f"Action: end {drawn // 3 % 3 / 2}"
