"""New weights into running servers, and proof that they are there.

SGLang answers 200 to a checkpoint with missing tensors, reads a wrong linear shape as zeros and dies of a
wrong norm. So nothing is asked of a server before the checkpoint was compared with what it serves, and
nothing is believed that was not read back.

Per server, in this order: compare; pause; update (which flushes the prefix cache); continue, whatever
happened; read the version back; generate one token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from rro_sdk.checkpoint import Checkpoint, describe, differences
from rro_sdk.errors import CheckpointError, ConfigError, ReloadError, ServerError
from rro_sdk.inference.address import normalise_all
from rro_sdk.inference.server import Server
from rro_sdk.inference.transport import Transport
from rro_sdk.inference.wire import ChatRequest
from rro_sdk.types import Message

PauseMode = Literal["retract", "abort"]

CONTROL_TIMEOUT_S = 30.0
"""Pause, continue and info answer in milliseconds on an idle server; a loaded CPU server takes seconds."""


@dataclass(frozen=True, slots=True)
class ReloadSettings:
    """How servers are reloaded.

    Attributes:
        mode: what happens to requests in flight: `retract` puts them back in the server's queue and they
            go on with the new weights (the sampler discards the steps that saw both); `abort` ends them,
            and the client draws them again.
        update_timeout_s: deadline for loading the weights.
        api_key: bearer token for information and generation.
        admin_api_key: bearer token for control calls; the same as `api_key` if None.
    """

    mode: PauseMode = "retract"
    update_timeout_s: float = 600.0
    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in ("retract", "abort"):
            raise ConfigError(f"reload mode must be retract or abort, not {self.mode!r}")
        if self.update_timeout_s <= 0:
            raise ConfigError(f"reload update_timeout_s must be above 0, not {self.update_timeout_s}")


class ReloadReport(msgspec.Struct, frozen=True):
    """What came of a reload: servers that have the version, and why the others do not, by URL."""

    weight_version: str
    checkpoint: str
    reloaded: tuple[str, ...]
    failed: dict[str, str]

    def raise_for_failures(self) -> None:
        """Raise where a server could not be brought to the version.

        Raises:
            ReloadError: names every such server and why; it must get no more requests.
        """
        if self.failed:
            said = "; ".join(f"{url}: {reason}" for url, reason in self.failed.items())
            raise ReloadError(
                f"{len(self.failed)} of {len(self.failed) + len(self.reloaded)} servers are not at weight"
                f" version {self.weight_version} and must be left out: {said}",
                url=next(iter(self.failed)),
            )


class _UpdateReply(msgspec.Struct):
    success: bool
    message: str = ""


async def reload_weights(
    servers: Sequence[str],
    checkpoint: str | Path,
    settings: ReloadSettings | None = None,
    *,
    weight_version: str | None = None,
) -> ReloadReport:
    """Bring every server to a checkpoint.

    Args:
        servers: URLs, each of one worker (a gateway does not forward these calls).
        checkpoint: folder of a Hugging Face checkpoint in safetensors, readable by the servers too.
        settings: see `ReloadSettings`.
        weight_version: name of the new version; by default the first 12 hex digits of the checkpoint's
            content hash, so that equal weights have equal versions.

    Returns:
        Which servers have it. A server that failed is in `failed` and must get no more requests.

    Raises:
        CheckpointError: the checkpoint cannot stand in for what a server serves. No server was touched.
        ServerError: a server could not be asked what it serves. No server was touched.
    """
    settings = settings or ReloadSettings()
    urls = normalise_all(servers)
    path = Path(checkpoint).absolute()
    new = await asyncio.to_thread(describe, path)
    version = weight_version or new.sha256[:12]
    async with (
        Transport(api_key=settings.api_key) as user,
        Transport(api_key=settings.admin_api_key or settings.api_key) as admin,
    ):
        await asyncio.gather(*(_compare(Server(url, user), new, path) for url in urls))
        jobs = [_Reload(Server(url, user), admin, path, version, settings) for url in urls]
        results = await asyncio.gather(*(job.run() for job in jobs), return_exceptions=True)
    failed: dict[str, str] = {}
    for url, result in zip(urls, results, strict=True):
        if isinstance(result, ServerError):
            failed[url] = str(result)
        elif isinstance(result, BaseException):
            raise result
    return ReloadReport(
        weight_version=version,
        checkpoint=str(path),
        reloaded=tuple(url for url in urls if url not in failed),
        failed=failed,
    )


async def _compare(server: Server, new: Checkpoint, path: Path) -> None:
    served = Path((await server.model_info()).model_path)
    if not served.is_dir():
        raise CheckpointError(
            f"server {server.url} serves {served}, which is not a folder on this machine, so {path} cannot be"
            " compared with it; run the reload where the served checkpoint can be read"
        )
    found = differences(await asyncio.to_thread(describe, served, with_hash=False), new)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise CheckpointError(
            f"checkpoint {path} does not fit what server {server.url} serves: {'; '.join(found[:3])}{more}"
        )


@dataclass(frozen=True, slots=True)
class _Reload:
    """The steps for one server."""

    server: Server
    admin: Transport
    path: Path
    version: str
    settings: ReloadSettings

    async def run(self) -> None:
        try:
            await self._control("/pause_generation", {"mode": self.settings.mode})
            await self._update()
        finally:
            # Also after a pause that was cancelled half-way, for it may have reached the server; and in the
            # background, so that a caller that is cancelled here cannot leave the server paused.
            await asyncio.shield(self.admin.in_background(self._continue()))
        await self._verify()

    async def _update(self) -> None:
        body = await self._control(
            "/update_weights_from_disk",
            {
                "model_path": str(self.path),
                "weight_version": self.version,
                "abort_all_requests": False,
                "flush_cache": True,
            },
            timeout_s=self.settings.update_timeout_s,
        )
        try:
            reply = msgspec.json.decode(body, type=_UpdateReply | list[_UpdateReply])
        except msgspec.DecodeError as error:
            raise self._failure(f"its answer to the update is not of the contract's shape: {error}") from None
        for part in reply if isinstance(reply, list) else [reply]:
            if not part.success:
                raise self._failure(f"it refused the update: {part.message}")

    async def _continue(self) -> None:
        await self._control("/continue_generation", {})

    async def _verify(self) -> None:
        info = await self.server.model_info(timeout_s=CONTROL_TIMEOUT_S)
        if info.weight_version != self.version:
            raise self._failure(f"it reports weight version {info.weight_version!r} after the update")
        probe = ChatRequest(
            messages=(Message("user", "Hello"),), model="default", temperature=0.0, max_tokens=1
        )
        completion = await self.server.complete(probe, timeout_s=self.settings.update_timeout_s)
        if completion.weight_versions and completion.weight_versions != (self.version,):
            raise self._failure(f"it generates with weight version {completion.weight_versions[-1]!r}")

    async def _control(
        self, path: str, body: dict[str, object], *, timeout_s: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        return await self.admin.post(self.server.url, path, msgspec.json.encode(body), timeout_s=timeout_s)

    def _failure(self, why: str) -> ReloadError:
        return ReloadError(f"server {self.server.url} was not reloaded: {why}", url=self.server.url)
