"""The steps of a reload, each on all workers before the next on any, so that no token of the old weights is
made after one of the new:

1. pause, as the mode says;
2. update, and read the version back;
3. roll back the workers that failed;
4. settle: whoever gives out requests hears which workers must get none;
5. continue, whatever happened;
6. generate one token on each; 3 to 6 again for those that do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rro_sdk._concurrency import to_the_end
from rro_sdk.errors import ReloadError, ServerError, ServerTimeout
from rro_sdk.inference.engines import Engine, ReloadMode, Served
from rro_sdk.inference.retry import RetrySettings, with_retries
from rro_sdk.inference.transport import ServerLost
from rro_sdk.inference.watchdog import Watchdog

RESUME = RetrySettings(attempts=6, total_s=60.0, first_wait_s=0.1, longest_wait_s=5.0)
"""A paused server serves nothing, so continuing it is tried soon and often; then the watchdog goes on."""

GIVEN_UP_BETWEEN = (408, 502, 504)
"""Statuses of whoever stands between us and a worker, who does not know what became of the request."""


@dataclass(slots=True)
class Worker:
    """One worker and how far it came.

    Attributes:
        engine: its control calls.
        before: what it served when the reload began.
        why: why it is not at the new version, once that is so.
        touched: whether it was sent an update.
        unanswered: whether that update had no answer, and so may be going on still.
        is_as_before: whether it was seen to serve again, or still, what it served before.
    """

    engine: Engine
    before: Served
    why: str | None = None
    touched: bool = False
    unanswered: bool = False
    is_as_before: bool = False

    @property
    def url(self) -> str:
        return self.engine.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloading:
    """One reload of some workers. `settle` is called whenever it is clearer which of them may be used."""

    workers: Sequence[Worker]
    path: str
    version: str
    mode: ReloadMode
    update_timeout_s: float
    drain_timeout_s: float
    settle: Callable[[], None]

    async def run(self, watchdog: Watchdog) -> None:
        """Take all steps; what failed is told by `Worker.why`.

        Args:
            watchdog: takes over what cannot be continued from here.
        """
        try:
            await self._each(self._pause)
            await self._each(self._update)
            await self._all(self._roll_back)
            self.settle()
        finally:
            # Also after a pause that was cancelled half-way, for it may have reached the server; and to the
            # end, for a caller that is cancelled here leaves the block in which the watchdog stands by.
            await to_the_end(self._resume_all(watchdog))
        failed = [worker for worker in self.workers if worker.why is not None]
        await self._each(self._probe)
        late = [worker for worker in self.workers if worker.why is not None and worker not in failed]
        if late:
            self.settle()
            try:
                await asyncio.gather(*(self._roll_back(worker) for worker in late))
            finally:
                await to_the_end(self._resume_all(watchdog))
        await self._all(self._probe_the_old)
        self.settle()

    async def _each(self, step: Callable[[Worker], Awaitable[None]]) -> None:
        """Take a step on every worker that has not failed; one that fails it has failed the reload."""

        async def take(worker: Worker) -> None:
            try:
                await step(worker)
            except ServerError as error:
                worker.why = str(error)

        await asyncio.gather(*(take(worker) for worker in self.workers if worker.why is None))

    async def _all(self, step: Callable[[Worker], Awaitable[None]]) -> None:
        await asyncio.gather(*(step(worker) for worker in self.workers))

    async def _pause(self, worker: Worker) -> None:
        await worker.engine.pause(self.mode, timeout_s=self.drain_timeout_s)

    async def _update(self, worker: Worker) -> None:
        worker.touched = True
        # Where nothing was paused the update itself waits for what runs.
        wait_s = self.drain_timeout_s if self.mode == "drain" else 0.0
        try:
            await worker.engine.update(self.path, self.version, timeout_s=self.update_timeout_s + wait_s)
        except ServerError as error:
            worker.unanswered = (
                isinstance(error, ServerTimeout | ServerLost) or error.status in GIVEN_UP_BETWEEN
            )
            raise
        served = (await worker.engine.served()).weight_version
        if served != self.version:
            raise _failure(worker, f"it reports weight version {served!r} after the update")

    async def _roll_back(self, worker: Worker) -> None:
        """Bring a worker that failed back to what it served before, as far as that can be known.

        What runs on it is ended: it was, or may have been, made by half of the new weights. An update that
        was not answered may still be going on, and a second one beside it would lock SGLang up.
        """
        if worker.why is None:
            return
        old = worker.before.path
        with suppress(ServerError):
            if worker.touched and (old is None or worker.unanswered):
                await worker.engine.abort_all()
                return
            if worker.touched and old is not None:
                await worker.engine.pause("abort", timeout_s=self.update_timeout_s)
                await worker.engine.update(old, worker.before.weight_version, timeout_s=self.update_timeout_s)
            now = await worker.engine.served()
            worker.is_as_before = now.weight_version == worker.before.weight_version

    async def _resume_all(self, watchdog: Watchdog) -> None:
        async def resume(worker: Worker) -> None:
            try:
                await with_retries(worker.engine.resume, RESUME)
            except ServerError as error:
                worker.why = worker.why or str(error)
                worker.is_as_before = False
                if error.status not in (401, 403):  # with the same key it would be told the same
                    watchdog.take_over()

        await self._all(resume)

    async def _probe(self, worker: Worker) -> None:
        made_by = await worker.engine.probe(timeout_s=self.update_timeout_s)
        if made_by and made_by != (self.version,):
            raise _failure(worker, f"it generates with weight version {made_by[-1]!r}")

    async def _probe_the_old(self, worker: Worker) -> None:
        """A worker counts as rolled back when it generates, not when it says so."""
        if not worker.is_as_before:
            return
        try:
            made_by = await worker.engine.probe(timeout_s=self.update_timeout_s)
        except ServerError:
            worker.is_as_before = False
        else:
            worker.is_as_before = not made_by or made_by == (worker.before.weight_version,)


def outcome(
    workers: Sequence[Worker], behind: Mapping[str, Sequence[str]], version: str
) -> tuple[str, dict[str, str]]:
    """What a fleet must know of a reload.

    Where no worker has the new version the fleet stays with the old one and with every worker that still
    serves it; else it goes on with those that have the new one alone.

    Args:
        workers: as far as they came.
        behind: for each URL that the fleet knows, the workers that its requests may reach.
        version: the new weight version.

    Returns:
        The weight version to go on with, and the URLs that must get no requests with the reasons.
    """
    if any(worker.why is None for worker in workers):
        bad = {worker.url: worker.why for worker in workers if worker.why is not None}
    else:
        old = [worker for worker in workers if worker.is_as_before]
        version = old[0].before.weight_version if old else version
        bad = {
            worker.url: worker.why or ""
            for worker in workers
            if not worker.is_as_before or worker.before.weight_version != version
        }
    failed = {
        url: "; ".join(bad[address] for address in addresses if address in bad)
        for url, addresses in behind.items()
        if any(address in bad for address in addresses)
    }
    return version, failed


def _failure(worker: Worker, why: str) -> ReloadError:
    return ReloadError(f"server {worker.url} was not reloaded: {why}", url=worker.url)
