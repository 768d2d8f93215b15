"""Blocks of tasks: their names on shared storage, who has one now, and which may be taken from whom. Pure.

Every time a block is handed out it is under a new epoch, a name that sorts after all before it. Whoever has
an epoch writes under that name alone, so a sampler that was given up and does not know it writes where nobody
looks any more. A block that was moved goes on from what its last epoch had recorded.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from rro_sdk.errors import DataError
from rro_sdk.fingerprint import task_digest
from rro_sdk.types import Task

SLOW = 2.0
"""A block may be taken from its sampler after this many times what blocks took, in the middle."""

SLOW_S = 20.0
"""...and not before this: moving one costs its requests in flight."""

MOST_LOSSES = 8
"""Samplers lost in a row over one block that records nothing new: then it is the block's fault."""


class Block(msgspec.Struct, frozen=True):
    """A block under one epoch.

    Attributes:
        number: from 0, in the order of the tasks.
        epoch: names this hand-out.
        digest: of its tasks.
        tasks: what is to be explored.
    """

    number: int
    epoch: str
    digest: str
    tasks: tuple[Task, ...]


class Opened(msgspec.Struct, frozen=True):
    """Begins an epoch on shared storage.

    Attributes:
        digest: of the block's tasks.
        base: sha256 of the image of what earlier epochs had recorded; None where there was nothing.
        node: where it runs, for people.
    """

    digest: str
    base: str | None
    node: str


class Done(msgspec.Struct, frozen=True):
    """Ends an epoch on shared storage: the block's journal is there as one image.

    Attributes:
        block, epoch, digest: whose.
        sha256, size: of the image.
        tasks: in the block.
        finished: explored to their end.
        failed: set aside.
        owed: set aside for a server's fault, so that a resumed run takes them up again.
        pairs, replies: recorded in all.
        why: why the last one was set aside, "" where none was.
    """

    block: int
    epoch: str
    digest: str
    sha256: str
    size: int
    tasks: int
    finished: int
    failed: int
    owed: int
    pairs: int
    replies: int
    why: str = ""


class Merged(msgspec.Struct, frozen=True):
    """A block in the run's journal.

    Attributes:
        epoch: whose image was taken.
        digest: of the block's tasks.
        events: first and last number of its events.
        finished, owed, pairs: as in `Done`.
    """

    epoch: str
    digest: str
    events: tuple[int, int]
    finished: int
    owed: int
    pairs: int


def folder(block: int) -> str:
    """Where a block is, on shared storage."""
    return f"blocks/{block // 1000:04d}/{block:07d}"


def epoch_name(generation: int, count: int) -> str:
    """Rises with the driver's generation, then with the count."""
    return f"{generation:06d}-{count:09d}"


def digest_of(tasks: Iterable[Task]) -> str:
    """Changes with any task of a block and with their order."""
    found = hashlib.blake2b(digest_size=16)
    for task in tasks:
        found.update(task_digest(task))
    return found.hexdigest()


def newest(names: Sequence[str], before: str | None = None) -> tuple[str, bool] | None:
    """The epoch that a block goes on from, of the names in its folder, and whether it came to its end.

    One that was begun has a `.open`, one that came to its end a `.done`.
    """
    ended = {name.removesuffix(".done") for name in names if name.endswith(".done")}
    begun = {name.removesuffix(".open") for name in names if name.endswith(".open")} | ended
    found = [epoch for epoch in begun if before is None or epoch < before]
    return (max(found), max(found) in ended) if found else None


def in_blocks(tasks: Iterable[Task], size: int) -> Iterator[tuple[int, tuple[Task, ...]]]:
    """Number and tasks of every block, as they are asked for.

    Raises:
        DataError: a block has a task twice; across blocks the merge finds it.
    """
    gathered: list[Task] = []
    number = 0
    for task in tasks:
        gathered.append(task)
        if len(gathered) == size:
            yield number, _unique(gathered)
            gathered, number = [], number + 1
    if gathered:
        yield number, _unique(gathered)


def _unique(tasks: Sequence[Task]) -> tuple[Task, ...]:
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise DataError(f"task {task.id} is given twice; ids must be unique within a run")
        seen.add(task.id)
    return tuple(tasks)


@dataclass(slots=True)
class _Held:
    block: Block
    member: int
    since: float
    moves: int


@dataclass(slots=True)
class Assignments:
    """Which block goes to whom. Knows blocks that were handed out and have not come to their end, no others.

    Args:
        generation: the driver's.

    Attributes:
        durations: seconds of the latest blocks that came to their end.
    """

    generation: int
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    _count: int = 0
    _held: dict[int, _Held] = field(default_factory=dict)
    _back: deque[tuple[Block, int]] = field(default_factory=deque)
    _losses: dict[int, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """Blocks that were handed out, or given back, and have not come to their end."""
        return len(self._held) + len(self._back)

    def begin(self, number: int, tasks: tuple[Task, ...], digest: str, member: int, now: float) -> Block:
        """Hand out a block for the first time."""
        return self._hand_out(Block(number, "", digest, tasks), member, now, 0)

    def again(self, member: int, now: float) -> Block | None:
        """A block that was given back, if there is one."""
        if not self._back:
            return None
        block, moves = self._back.popleft()
        return self._hand_out(block, member, now, moves)

    def steal(self, member: int, now: float) -> tuple[int, Block, Block] | None:
        """A block of another sampler that has had it for too long, for one that has nothing else to do.

        Each move of a block doubles the time that its next sampler has.

        Returns:
            The sampler that has it, what it has, and the block under a new epoch; None where there is none.
        """
        usual = statistics.median(self.durations) if self.durations else 0.0
        late = [
            held
            for held in self._held.values()
            if held.member != member and now - held.since > max(SLOW_S, SLOW * usual) * 2**held.moves
        ]
        if not late:
            return None
        held = min(late, key=lambda each: each.since)
        return held.member, held.block, self._hand_out(held.block, member, now, held.moves + 1)

    def lost(self, block: Block) -> None:
        """The block's sampler is gone. Nothing happens where the block was taken from it already."""
        if (held := self._current(block)) is not None:
            del self._held[block.number]
            self._back.append((held.block, held.moves))

    def losses(self, block: Block, *, progressed: bool) -> int:
        """Count a loss of the block's sampler: how many in a row there were in which nothing was recorded."""
        self._losses[block.number] = 0 if progressed else self._losses.get(block.number, 0) + 1
        return self._losses[block.number]

    def finished(self, block: Block, now: float) -> bool:
        """The block came to its end; False where it was taken away before, and is under another epoch."""
        if (held := self._current(block)) is None:
            return False
        del self._held[block.number]
        self.durations.append(now - held.since)
        self._losses.pop(block.number, None)
        return True

    def _current(self, block: Block) -> _Held | None:
        held = self._held.get(block.number)
        return held if held is not None and held.block.epoch == block.epoch else None

    def _hand_out(self, block: Block, member: int, now: float, moves: int) -> Block:
        self._count += 1
        given = msgspec.structs.replace(block, epoch=epoch_name(self.generation, self._count))
        self._held[block.number] = _Held(given, member, now, moves)
        return given
