"""A run on many samplers: hands out blocks, takes back those of samplers that are lost, merges what is done.

Roles: a `Driver` owns the run's folder and the shared folder's account of it; a `Crew` owns the samplers,
wherever they run. Each sampler has as many blocks at once as keep it busy. A block that is done waits for the
one merge, and its sampler for room there: memory does not grow with the run.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from rro_sdk._concurrency import event_within, to_the_end
from rro_sdk.cluster.blocks import (
    MOST_LOSSES,
    Assignments,
    Block,
    Done,
    Merged,
    digest_of,
    folder,
    in_blocks,
    newest,
)
from rro_sdk.cluster.crew import Crew, SamplerLost, Totals
from rro_sdk.cluster.merge import AT_ONCE, PAGE_SIZE, Merger
from rro_sdk.cluster.roster import Roster
from rro_sdk.cluster.shard import fetch
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.errors import ConfigError, DataError, JournalError, RROError, ServerError
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.run import Run, refuse_other, refuse_other_header
from rro_sdk.types import Resumed, Task

BLOCK_TASKS = 128
"""Large enough that opening and merging a block is nothing beside sampling it, small enough to be moved."""

MOST_BLOCKS = 32
"""That a sampler has at once."""

LOOK_S = 0.5
"""Between two looks at the samplers: how many blocks each can use, and whether a block is late."""

RIVALS_S = 10.0
"""Between two looks for a driver that took the run over."""

ANSWER_S = 60.0
"""How long a sampler has to say how it stands."""

TAKE_S = 5.0
"""How long a sampler has to record what it holds of a block that is taken from it."""

ACCOUNT = "run.json"


class Account(msgspec.Struct, frozen=True):
    """What shared storage says of the run: a driver that begins in another folder goes on with it."""

    header: RunHeader
    block_tasks: int


class Driver:
    """Runs tasks on a crew's samplers, into an ordinary run folder.

    Args:
        crew: the samplers; whoever made it closes it.
        shared: where they record.
        run_dir: absent, empty, or this run's.
        resume: whether `run_dir` may hold the run already.
        block_tasks: tasks in a block; a run keeps what it began with.
        note: told of totals whenever they change.
    """

    def __init__(
        self,
        crew: Crew,
        shared: SharedFolder,
        run_dir: Path,
        *,
        resume: bool = False,
        block_tasks: int = BLOCK_TASKS,
        note: Callable[[Totals], None] = lambda totals: None,
    ) -> None:
        self.totals = Totals()
        self._crew, self._shared, self._dir = crew, shared, run_dir
        self._resume, self._block_tasks, self._note = resume, block_tasks, note
        self._roster = Roster(crew, shared.url)
        self._depth = [1] * crew.size
        self._changed = asyncio.Event()
        self._recorded: list[dict[str, int]] = [{} for _ in range(crew.size)]
        self._why = ""

    @staticmethod
    def name(generation: int) -> str:
        """Where a driver leaves its token."""
        return f"drivers/{generation:06d}"

    @staticmethod
    def enlist(shared: SharedFolder) -> tuple[int, str]:
        """Become the newest driver of the run in a shared folder: its generation and its token.

        Raises:
            ConfigError: the folder cannot be written.
        """
        if (why := shared.try_out("nodes/driver")) is not None:
            raise ConfigError(f"the shared folder {shared.url} cannot be written from here: {why}")
        token = secrets.token_hex(8)
        generation = max((int(name) for name in shared.names("drivers")), default=0) + 1
        while not shared.create(Driver.name(generation), token.encode()):
            generation += 1
        shared.anchor(Driver.name(generation))
        return generation, token

    async def run(self, tasks: Iterable[Task], generation: int, token: str) -> None:
        """Sample every task, merge, export.

        Raises:
            ConfigError: samplers that cannot work together, or a run of other settings.
            DataError: tasks that are not those of the run, or an id given twice.
            RROError: what ended the run; what was recorded is kept.
        """
        header = await self._roster.muster(token)
        journal = await asyncio.to_thread(self._open, header)
        try:
            merger = Merger(self._dir)
            try:
                try:
                    await self._sample(tasks, generation, merger)
                finally:
                    await to_the_end(asyncio.to_thread(merger.export))
            finally:
                merger.close()
        finally:
            journal.close()
        if self.totals.tasks and not self.totals.finished:
            raise ServerError(f"every task was set aside, the last one for: {self._why}")

    def _open(self, header: RunHeader) -> Journal:
        """The run's own journal, begun or gone on with, and its account on shared storage."""
        said = msgspec.json.encode(Account(header, self._block_tasks))
        if not self._shared.create(ACCOUNT, said):
            said = self._shared.get(ACCOUNT) or b""
        try:
            account = msgspec.json.decode(said, type=Account)
        except msgspec.DecodeError as error:
            raise JournalError(f"{self._shared.url}/{ACCOUNT} is damaged ({type(error).__name__})") from None
        if self._resume and Run.can_resume(self._dir):
            journal = Journal.resume(self._dir)
            try:
                refuse_other(journal, header, self._dir)
                journal.append(Resumed(header.versions, tuple(header.servers)))
            except BaseException:
                journal.close()
                raise
        else:
            refuse_other_header(account.header, header, self._shared.url)
            journal = Journal.create(self._dir, account.header, page_size=PAGE_SIZE)
        self._block_tasks = account.block_tasks
        return journal

    async def _sample(self, tasks: Iterable[Task], generation: int, merger: Merger) -> None:
        merged = await asyncio.to_thread(merger.merged)
        for before in merged.values():
            self._count(before.finished, before.pairs)
        blocks = _Source(in_blocks(tasks, self._block_tasks), merged)
        given = Assignments(generation)
        done: asyncio.Queue[Done | None] = asyncio.Queue(maxsize=2 * self._crew.size)
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                merging = group.create_task(self._merge(done, merger))
                watch = [group.create_task(self._watch(generation))]
                watch += [group.create_task(self._look(member)) for member in range(self._crew.size)]
                async with asyncio.TaskGroup() as lanes:
                    for member in range(self._crew.size):
                        lanes.create_task(self._keep_busy(member, blocks, given, done))
                for each in watch:
                    each.cancel()
                await done.put(None)
                await merging
                self.totals.sampling_s = time.monotonic() - began
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            self._shared.give_up()  # who waits for storage now would keep the run from its end
            # Whoever interrupts a second time does not wait for either; a later run makes up for both.
            await self._roster.stand_down()
            await self._merge_left(done, merger)

    async def _keep_busy(
        self, member: int, blocks: _Source, given: Assignments, done: asyncio.Queue[Done | None]
    ) -> None:
        """As many blocks at once on one sampler as it can use, until all blocks came to their end."""
        running: dict[asyncio.Task[None], asyncio.Task[Done | None]] = {}
        async with asyncio.TaskGroup() as group:
            while not blocks.ended or given.open:
                changed, block = self._changed, None
                if self._roster.ready(member) and len(running) < self._depth[member]:
                    block = await self._next(member, not running, blocks, given, done)
                if block is not None:
                    call = asyncio.ensure_future(self._crew.run(member, block))
                    job = group.create_task(self._one(member, block, call, given, done))
                    running[job] = call
                    job.add_done_callback(running.pop)
                else:
                    await event_within(changed, LOOK_S)
            # What still runs was taken over by others; a sampler that hangs would never say so.
            for call in running.values():
                call.cancel()

    async def _one(
        self,
        member: int,
        block: Block,
        call: asyncio.Task[Done | None],
        given: Assignments,
        done: asyncio.Queue[Done | None],
    ) -> None:
        try:
            ended = await call
        except SamplerLost:
            self._lose(member, block, given)
            return
        if ended is not None and given.finished(block, time.monotonic()):
            await done.put(ended)
        self._stir()

    async def _next(
        self,
        member: int,
        idle: bool,
        blocks: _Source,
        given: Assignments,
        done: asyncio.Queue[Done | None],
    ) -> Block | None:
        """What this sampler does next; None where there is nothing for it now."""
        now = time.monotonic()
        if (back := given.again(member, now)) is not None:
            return back
        async with blocks.lock:
            while (fresh := blocks.next()) is not None:
                number, tasks, digest = fresh
                if (found := await asyncio.to_thread(self._ended, number, digest)) is not None:
                    await done.put(found)
                    continue
                return given.begin(number, tasks, digest, member, time.monotonic())
        if idle and (stolen := given.steal(member, now)) is not None:
            victim, before, block = stolen
            self.totals.moved += 1
            try:
                async with asyncio.timeout(TAKE_S):
                    await self._crew.take_away(victim, before)
            except (SamplerLost, TimeoutError):
                pass  # whatever it still writes is under an epoch that nobody reads
            return block
        return None

    def _ended(self, number: int, digest: str) -> Done | None:
        """A block's end on shared storage, if it came to one that owes nothing."""
        place = folder(number)
        found = newest(self._shared.names(place))
        if found is None or not found[1]:
            return None
        said = self._shared.get(f"{place}/{found[0]}.done")
        done = msgspec.json.decode(said, type=Done) if said is not None else None
        if done is not None and done.digest != digest:
            raise DataError(
                f"block {number} of the run in {self._shared.url} began with other tasks; give the same"
            )
        return done if done is not None and not done.owed else None

    def _lose(self, member: int, block: Block, given: Assignments) -> None:
        """A block's sampler is gone: the block goes back, and the sampler is made anew by who looks at it."""
        self._count_lost(member)
        given.lost(block)
        if given.losses(block, progressed=bool(self._recorded[member].get(block.epoch))) >= MOST_LOSSES:
            raise JournalError(
                f"block {block.number} (tasks {block.tasks[0].id} to {block.tasks[-1].id}) lost its sampler"
                f" {MOST_LOSSES} times and recorded nothing new; see the cluster's logs, mend it and resume"
            )
        self._stir()

    def _count_lost(self, member: int) -> None:
        if self._roster.miss(member):
            self.totals.lost += 1

    async def _look(self, member: int) -> None:
        """Keep one sampler: ask how it stands, make it anew when it is gone."""
        while True:
            if not self._roster.ready(member):
                await self._roster.renew(member)
            try:
                async with asyncio.timeout(ANSWER_S):
                    progress = await self._crew.progress(member)
                wanted = 1 + -(-max(1, progress.room) // self._block_tasks)
                self._depth[member] = min(wanted, MOST_BLOCKS)
                self._recorded[member] = progress.recorded
                self.totals.sampler_mb = max(self.totals.sampler_mb, progress.rss_mb)
                self._note(self.totals)
            except SamplerLost:
                self._count_lost(member)
                continue
            except TimeoutError:
                pass  # busy or frozen: the cluster says when it is dead, and its blocks are late meanwhile
            await asyncio.sleep(LOOK_S)

    async def _watch(self, generation: int) -> None:
        """End where another driver took the run over."""
        while True:
            names = await asyncio.to_thread(self._shared.names, "drivers")
            if names and int(names[-1]) > generation:
                raise ConfigError(
                    f"another driver has taken over the run in {self._shared.url}; this one stops"
                )
            await asyncio.sleep(RIVALS_S)

    async def _merge(self, done: asyncio.Queue[Done | None], merger: Merger) -> None:
        """Merge what is done, together what is done meanwhile, to the end of the queue."""
        ended = False
        while not ended:
            waiting = [await done.get()]
            while len(waiting) < AT_ONCE and not done.empty():
                waiting.append(done.get_nowait())
            ended = waiting[-1] is None
            if blocks := [each for each in waiting if each is not None]:
                await to_the_end(self._merge_some(blocks, merger))

    async def _merge_left(self, done: asyncio.Queue[Done | None], merger: Merger) -> None:
        """What a run that ends early has not merged yet; a later one does where this cannot."""
        while not done.empty():
            if (each := done.get_nowait()) is not None:
                with suppress(JournalError):
                    await self._merge_some([each], merger)

    async def _merge_some(self, blocks: Sequence[Done], merger: Merger) -> None:
        began = time.monotonic()
        fresh = await asyncio.to_thread(_fetch_and_merge, self._shared, blocks, merger)
        self.totals.merge_s += time.monotonic() - began
        for done, new in zip(blocks, fresh, strict=True):
            if new:
                self._why = done.why or self._why
                self._count(done.finished, done.pairs)
                self.totals.tasks += done.tasks - done.finished
                self.totals.failed += done.failed
                self.totals.replies += done.replies
        if any(fresh):
            self._note(self.totals)

    def _count(self, finished: int, pairs: int) -> None:
        self.totals.blocks += 1
        self.totals.tasks += finished
        self.totals.finished += finished
        self.totals.pairs += pairs

    def _stir(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _Source:
    """Blocks in order, less those that are merged and owe nothing."""

    def __init__(self, blocks: Iterator[tuple[int, tuple[Task, ...]]], merged: dict[int, Merged]) -> None:
        self.ended = False
        self.lock = asyncio.Lock()
        self._blocks, self._merged = blocks, merged

    def next(self) -> tuple[int, tuple[Task, ...], str] | None:
        for number, tasks in self._blocks:
            digest = digest_of(tasks)
            before = self._merged.get(number)
            if before is not None and before.digest != digest:
                raise DataError(f"block {number} of the run began with other tasks; give the same")
            if before is None or before.owed:
                return number, tasks, digest
        self.ended = True
        return None


def _fetch_and_merge(shared: SharedFolder, blocks: Sequence[Done], merger: Merger) -> list[bool]:
    """Merge blocks together; where one of them cannot be, those before it are merged all the same."""
    if len(blocks) == 1:
        return [_fetch_and_merge_one(shared, blocks[0], merger)]
    with tempfile.TemporaryDirectory(prefix="rro-merge-") as scratch:
        try:
            with ThreadPoolExecutor(len(blocks)) as threads:  # storage answers late, not one after the other
                images = list(threads.map(partial(_fetch, shared, Path(scratch)), blocks))
            return merger.merge_all(list(zip(blocks, images, strict=True)))
        except RROError:
            return [_fetch_and_merge_one(shared, done, merger) for done in blocks]


def _fetch_and_merge_one(shared: SharedFolder, done: Done, merger: Merger) -> bool:
    with tempfile.TemporaryDirectory(prefix="rro-merge-") as scratch:
        return merger.merge(done, _fetch(shared, Path(scratch), done))


def _fetch(shared: SharedFolder, scratch: Path, done: Done) -> Path:
    image = scratch / f"{done.block}.sqlite"
    fetch(shared, f"{folder(done.block)}/{done.epoch}.sqlite", done.sha256, image)
    return image


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
