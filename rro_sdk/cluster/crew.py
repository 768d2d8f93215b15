"""Samplers wherever they run, as the driver sees them, and how their run stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rro_sdk.cluster.blocks import Block, Done
from rro_sdk.cluster.worker import Hello, Progress


class SamplerLost(Exception):
    """A sampler's process or node is gone."""


class Crew(Protocol):
    """Samplers by number, from 0. A call of one that is gone raises `SamplerLost`."""

    size: int

    async def hello(self, member: int) -> Hello: ...
    async def run(self, member: int, block: Block) -> Done | None:
        """The block's end; None where it was taken away."""
        ...

    async def take_away(self, member: int, block: Block) -> None: ...
    async def progress(self, member: int) -> Progress: ...
    async def stop(self, member: int) -> None: ...
    async def replace(self, member: int) -> None: ...


@dataclass(slots=True)
class Totals:
    """How a run stands.

    Attributes:
        tasks: in blocks that are merged.
        pairs, replies, failed: of those.
        blocks: merged.
        lost: samplers that were lost.
        finished: tasks that came to their end.
        moved: blocks that were taken from a slow sampler.
        merge_s: that merging took, of the wall time.
        sampling_s: from the first hand-out to the last merge.
        sampler_mb: memory of the largest sampler.
    """

    tasks: int = 0
    pairs: int = 0
    replies: int = 0
    failed: int = 0
    finished: int = 0
    blocks: int = 0
    lost: int = 0
    moved: int = 0
    merge_s: float = 0.0
    sampling_s: float = 0.0
    sampler_mb: float = 0.0
