"""New weights into running servers, and proof that they are there.

SGLang answers 200 to a checkpoint with missing tensors, reads a wrong linear shape as zeros and dies of a
wrong norm. So nothing is asked of a server before the checkpoint was compared with what it serves, and
nothing is believed that was not read back.

What is asked for and what came of it is here, the order of the steps in `reloading.py`, the calls of each
engine in `engines.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, get_args

import msgspec

from rro_sdk.checkpoint import Checkpoint, describe, differences
from rro_sdk.errors import CheckpointError, ConfigError, ReloadError
from rro_sdk.inference.engines import ENGINES, Engine, ReloadMode
from rro_sdk.inference.gateway import all_workers
from rro_sdk.inference.listed import resolved
from rro_sdk.inference.reloading import Reloading, Worker, outcome
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.watchdog import Watchdog

VERSION_DIGITS = 12
"""Hex digits of a checkpoint's hash that name its version: no two of a run's will ever agree."""


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """How servers are reloaded.

    Attributes:
        mode: what happens to requests in flight. `retract` puts them back in the server's queue and they
            go on with the new weights (the sampler discards the steps that saw both); `drain` lets them
            finish, and new ones wait meanwhile, in the fleet where it is the gate, else in the server;
            `abort` ends them, and the client draws them again.
        update_timeout_s: deadline for loading the weights.
        drain_timeout_s: how long `drain` waits for what runs.
        engine: what the servers run.
        api_key: bearer token for information and generation.
        admin_api_key: bearer token for control calls; the same as `api_key` if None.
    """

    mode: ReloadMode = "retract"
    update_timeout_s: float = 600.0
    drain_timeout_s: float = 600.0
    engine: Literal["sglang", "vllm"] = "sglang"
    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in get_args(ReloadMode):
            known = ", ".join(get_args(ReloadMode))
            raise ConfigError(f"reload mode must be one of {known}, not {self.mode!r}")
        if self.engine not in ENGINES:
            raise ConfigError(f"reload engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        for name in ("update_timeout_s", "drain_timeout_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"reload {name} must be above 0, not {getattr(self, name)}")


class Gate(Protocol):
    """Whoever gives out requests to the servers that are reloaded: a `Fleet`."""

    def held(self, urls: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Give these servers no new requests, and wait until none is in flight; let go at the end."""

    def settle(self, weight_version: str, failed: Mapping[str, str], urls: Collection[str]) -> None:
        """What came of a reload.

        Args:
            weight_version: of every server that may be given requests.
            failed: servers that must get none until a later reload takes them, and why, by URL.
            urls: the servers that it was to reload; what an earlier one said of others holds.
        """


class ReloadReport(msgspec.Struct, frozen=True):
    """What came of a reload, by URL; of a gateway, by the URLs of its workers.

    Attributes:
        weight_version: the new version.
        checkpoint: the folder that was loaded.
        reloaded: servers that have the version and generate with it.
        failed: the others, and why.
        rolled_back: those of `failed` that were seen to serve again, or still, what they served before.
    """

    weight_version: str
    checkpoint: str
    reloaded: tuple[str, ...]
    failed: dict[str, str]
    rolled_back: tuple[str, ...] = ()

    def raise_for_failures(self) -> None:
        """Raise where a server could not be brought to the version.

        Raises:
            ReloadError: names every such server and why; it must get no more requests.
        """
        if self.failed:
            said = "; ".join(
                f"{url}: {reason}" + (" (it serves the old version)" if url in self.rolled_back else "")
                for url, reason in self.failed.items()
            )
            raise ReloadError(
                f"{len(self.failed)} of {len(self.failed) + len(self.reloaded)} servers are not at weight"
                f" version {self.weight_version} and must be left out: {said}",
                url=next(iter(self.failed)),
            )


async def reload_weights(
    servers: Sequence[str],
    checkpoint: str | Path,
    settings: ReloadSettings | None = None,
    *,
    weight_version: str | None = None,
    gate: Gate | None = None,
) -> ReloadReport:
    """Bring every server to a checkpoint.

    Should this process die on the way, a watchdog continues what it had paused. A caller that is cancelled
    leaves none paused either, but each server with the old weights or the new.

    Args:
        servers: URLs, or `@FILE` for those that a file lists; of a gateway every worker is reloaded.
        checkpoint: folder of a Hugging Face checkpoint in safetensors, readable by the servers too.
        settings: see `ReloadSettings`.
        weight_version: name of the new version; by default the first 12 hex digits of the checkpoint's
            content hash, so that equal weights have equal versions.
        gate: who gives these servers requests. It holds them back while the servers drain, and leaves out
            a server that failed before that one generates again.

    Returns:
        Which servers have it. A server that failed is in `failed` and must get no more requests.

    Raises:
        CheckpointError: the checkpoint cannot stand in for what a server serves. No server was touched.
        ServerError: a server could not be asked what it serves, or there is no watchdog. No server was
            touched.
    """
    settings = settings or ReloadSettings()
    urls = resolved(servers)
    path = Path(checkpoint).absolute()
    new = await asyncio.to_thread(describe, path)
    version = weight_version or new.sha256[:VERSION_DIGITS]
    admin_key = settings.admin_api_key or settings.api_key
    async with Transport(api_key=settings.api_key) as user, Transport(api_key=admin_key) as admin:
        behind = await all_workers(urls, user)
        engines = [
            ENGINES[settings.engine](url, user, admin)
            for url in dict.fromkeys(url for workers in behind.values() for url in workers)
        ]
        workers = await asyncio.gather(*(_compared(engine, new, path) for engine in engines))

        def settle() -> None:
            if gate is not None:
                gate.settle(*outcome(workers, behind, version), urls)

        steps = Reloading(
            workers=workers,
            path=str(path),
            version=version,
            mode=settings.mode,
            update_timeout_s=settings.update_timeout_s,
            drain_timeout_s=settings.drain_timeout_s,
            settle=settle,
        )
        async with AsyncExitStack() as stack:
            calls = [engine.resume_call for engine in engines]
            watchdog = await stack.enter_async_context(Watchdog(calls, key=admin_key))
            if gate is not None and settings.mode == "drain":
                await stack.enter_async_context(gate.held(urls))
            await steps.run(watchdog)
    return ReloadReport(
        weight_version=version,
        checkpoint=str(path),
        reloaded=tuple(worker.url for worker in workers if worker.why is None),
        failed={worker.url: worker.why for worker in workers if worker.why is not None},
        rolled_back=tuple(worker.url for worker in workers if worker.is_as_before),
    )


async def _compared(engine: Engine, new: Checkpoint, path: Path) -> Worker:
    before = await engine.served()
    served = Path(before.model_path)
    if not served.is_dir():
        raise CheckpointError(
            f"server {engine.url} serves {served}, which is not a folder on this machine, so {path} cannot be"
            " compared with it; run the reload where the served checkpoint can be read"
        )
    found = differences(await asyncio.to_thread(describe, served, with_hash=False), new)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise CheckpointError(
            f"checkpoint {path} does not fit what server {engine.url} serves: {'; '.join(found[:3])}{more}"
        )
    return Worker(engine, before)
