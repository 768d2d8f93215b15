"""Servers that serve the loop's policy: given by their addresses, or started here.

Roles: one `PolicyServers` for the life of a loop. `serve` brings all of them to a policy, by a reload where
they run and by a start where they do not; `release` frees their device for a trainer where they share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rro_sdk.checkpoint import describe, differences
from rro_sdk.errors import CheckpointError, ReloadError
from rro_sdk.inference.address import normalise_all
from rro_sdk.inference.gateway import all_workers
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.weights import VERSION_DIGITS, ReloadSettings, reload_weights
from servers.cluster import Layout, RayServers
from servers.settings import ServerSettings
from servers.sglang import SGLangServers
from trainers.iterate.folder import ServerSeen
from trainers.iterate.tables import ServersTable


@dataclass(frozen=True, slots=True)
class Keys:
    """Bearer tokens of the servers; never on disk."""

    user: str | None = None
    admin: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of the loop: the iteration that made it, its folder, the content hash of its weights."""

    iteration: int
    checkpoint: Path
    sha256: str

    @property
    def version(self) -> str:
        """Its weight version, the same that `reload_weights` gives it."""
        return self.sha256[:VERSION_DIGITS]


class Started(Protocol):
    """Servers that were made and can be started: `SGLangServers`."""

    @property
    def urls(self) -> tuple[str, ...]: ...

    @property
    def pids(self) -> tuple[int, ...]: ...

    def alive(self) -> bool: ...

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SGLang(SGLangServers):
    """SGLang servers with the ids of their processes."""

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(server.pid for server in self.servers)


Make = Callable[[ServerSettings, int], Started]


def make_sglang(settings: ServerSettings, count: int) -> Started:
    return SGLang(settings, count=count)


def make_on_ray(gpus: int, settings: ServerSettings, count: int) -> Started:
    """Servers of so many GPUs each on the cluster that this process has joined."""
    return RayServers(settings, Layout(servers=count, gpus=gpus, tp=settings.tp))


class PolicyServers:
    """See the module.

    Args:
        table: which servers.
        keys: their bearer tokens; started servers ask for them.
        logs: folder for the logs of started servers.
        make: makes servers that are to be started; by default SGLang's, where the table says.
    """

    def __init__(self, table: ServersTable, keys: Keys, logs: Path, make: Make | None = None) -> None:
        self._table = table
        self._keys = keys
        self._logs = logs
        here = make_sglang if table.engine == "process" else partial(make_on_ray, table.gpus_of_each)
        self._make = make or here
        self._stack = AsyncExitStack()
        self._started: Started | None = None

    async def check(self, model: Path) -> None:
        """See, before anything is done, that these servers can serve policies of this model.

        Raises:
            ConfigError: there is nothing to start them with.
            ServerError: a given server does not answer.
            CheckpointError: it serves a model of another shape, or one that cannot be read here.
        """
        if not self._table.urls:
            self._make(self._settings(model, "default"), self._table.start or 1)
            return
        shape = describe(model, with_hash=False)
        for url, (path, _) in (await self._ask(self._table.urls)).items():
            if not Path(path).is_dir():
                raise CheckpointError(
                    f"server {url} serves {path}, which is not a folder on this machine, so no checkpoint can"
                    " be compared with it before it is loaded; run the loop where that folder can be read"
                )
            if found := differences(describe(path, with_hash=False), shape):
                raise CheckpointError(
                    f"model {model} does not fit what server {url} serves: {'; '.join(found[:3])}"
                )

    async def serve(self, policy: Policy) -> tuple[str, ...]:
        """Bring every server to a policy.

        Returns:
            Their URLs.

        Raises:
            CheckpointError: its weights have changed since they were made, or do not fit.
            ServerError: a server could not be started, asked or reloaded.
        """
        if self._started is not None and not self._started.alive():
            await self.stop()
        if not self._table.urls and self._started is None:
            await self._start(policy)
        urls = self._urls()
        if {version for _, version in (await self._ask(urls)).values()} != {policy.version}:
            settings = ReloadSettings(
                # Nothing of ours runs between two stages; what others run may finish.
                mode="drain",
                api_key=self._keys.user,
                admin_api_key=self._keys.admin,
            )
            report = await reload_weights(urls, policy.checkpoint, settings)
            report.raise_for_failures()
            if report.weight_version != policy.version:
                raise _changed(policy, report.weight_version)
        return urls

    async def seen(self, policy: Policy) -> tuple[ServerSeen, ...]:
        """What each server says that it serves now.

        Raises:
            ReloadError: one serves something else than the policy.
        """
        pids = self._pids()
        found = await self._ask(self._urls())
        for url, (_, version) in found.items():
            if version != policy.version:
                raise ReloadError(
                    f"server {url} went over to weight version {version!r} while the loop used"
                    f" {policy.version}; leave its weights to the loop, and run it again",
                    url=url,
                )
        return tuple(ServerSeen(url, version, pids.get(url)) for url, (_, version) in found.items())

    async def release(self) -> None:
        """Free the device for a trainer, where servers and trainer share one."""
        if self._table.share_device:
            await self.stop()

    def cpu_s(self) -> float | None:
        """CPU time of the servers that were started here, so far; None where that cannot be seen."""
        if self._started is None or self._table.engine != "process":
            return None
        import psutil

        try:
            first = [psutil.Process(pid) for pid in self._started.pids]
            family = [*first, *(each for one in first for each in one.children(recursive=True))]
            return float(sum(sum(each.cpu_times()[:4]) for each in family))  # children waited for too
        except psutil.Error:
            return None  # one has died

    async def stop(self) -> None:
        """Stop what was started here."""
        stack, self._stack, self._started = self._stack, AsyncExitStack(), None
        await stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _urls(self) -> tuple[str, ...]:
        return normalise_all(self._started.urls if self._started is not None else self._table.urls)

    def _pids(self) -> dict[str, int]:
        """By address, of servers that were started here; one that is being made anew may be missing."""
        if self._started is None:
            return {}
        return dict(zip(normalise_all(self._started.urls), self._started.pids, strict=False))

    async def _start(self, policy: Policy) -> None:
        sha256 = (await asyncio.to_thread(describe, policy.checkpoint)).sha256
        if sha256 != policy.sha256:
            raise _changed(policy, sha256[:VERSION_DIGITS])
        servers = self._make(self._settings(policy.checkpoint, policy.version), self._table.start or 1)
        await self._stack.enter_async_context(servers)
        self._started = servers

    def _settings(self, model: Path, version: str) -> ServerSettings:
        table = self._table
        return ServerSettings(
            model=model,
            weight_version=version,
            device=table.device,
            dtype=table.dtype,
            max_total_tokens=table.max_total_tokens,
            max_running_requests=table.max_running_requests,
            tp=table.tp,
            extra_args=table.extra_args,
            startup_timeout_s=table.startup_timeout_s,
            api_key=self._keys.user,
            admin_api_key=self._keys.admin,
            log_dir=self._logs,
        )

    async def _ask(self, urls: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Folder and weight version of each server; of a gateway, of each worker behind it."""
        async with Transport(api_key=self._keys.user) as transport:
            behind = await all_workers(normalise_all(urls), transport)
            workers = list(dict.fromkeys(url for found in behind.values() for url in found))
            infos = await asyncio.gather(*(Server(url, transport).model_info() for url in workers))
        return {url: (info.model_path, info.weight_version) for url, info in zip(workers, infos, strict=True)}


def _changed(policy: Policy, now: str) -> CheckpointError:
    return CheckpointError(
        f"checkpoint {policy.checkpoint} has changed since the loop made it: its weight version was"
        f" {policy.version} and is {now}; put it back, or remove the records of its stage and of all"
        " later ones"
    )
