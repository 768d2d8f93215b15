"""Reload against a server that answers 200 to anything, as the real one does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rro_sdk.checkpoint import describe
from rro_sdk.errors import CheckpointError, ConfigError, ReloadError, ServerUnreachable
from rro_sdk.inference.weights import ReloadSettings, reload_weights
from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import SHAPES, write_checkpoint


@pytest.fixture
def served(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "served")


def fake(served: Path, **changes: object) -> FakeServer:
    return FakeServer(FakeSettings(**{"model_path": str(served), "weight_version": "v0", **changes}))  # type: ignore[arg-type]


async def test_every_server_gets_the_version_that_the_checkpoint_s_content_names(
    served: Path, tmp_path: Path
) -> None:
    new = write_checkpoint(tmp_path / "new", fill=1)
    async with fake(served) as one, fake(served) as two:
        report = await reload_weights([one.url, two.url], new)
        assert (one.weight_version, two.weight_version) == (report.weight_version,) * 2
    assert report.weight_version == describe(new).sha256[:12]
    assert report.reloaded == (one.url, two.url)
    assert report.failed == {}
    report.raise_for_failures()


async def test_a_version_of_your_own_and_back_again(served: Path, tmp_path: Path) -> None:
    new = write_checkpoint(tmp_path / "new", fill=1)
    async with fake(served) as server:
        await reload_weights([server.url], new, weight_version="mine")
        assert server.weight_version == "mine"
        back = await reload_weights([server.url], served)
        assert server.weight_version == back.weight_version == describe(served).sha256[:12]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"shapes": {**SHAPES, "model.norm.weight": (5,)}}, "model.norm.weight"),
        ({"shapes": {"model.norm.weight": (4,)}}, "missing tensors: model.embed_tokens.weight"),
        ({"shapes": {**SHAPES, "extra": (1,)}}, "unknown tensors: extra"),
        ({"architecture": "Other"}, "architecture"),
    ],
)
async def test_a_checkpoint_that_does_not_fit_is_refused_before_a_server_is_touched(
    served: Path, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    wrong = write_checkpoint(tmp_path / "wrong", **change)  # type: ignore[arg-type]
    async with fake(served) as server:
        with pytest.raises(CheckpointError, match=says) as caught:
            await reload_weights([server.url], wrong)
        assert server.weight_version == "v0"
    assert caught.value.exit_code == 2
    assert server.url in str(caught.value)


async def test_no_checkpoint_and_an_unreadable_one_are_refused(served: Path, tmp_path: Path) -> None:
    torn = write_checkpoint(tmp_path / "torn")
    content = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(content[:-10])
    async with fake(served) as server:
        for folder in (tmp_path / "absent", torn):
            with pytest.raises(CheckpointError):
                await reload_weights([server.url], folder)
        assert server.weight_version == "v0"


async def test_a_server_that_serves_what_cannot_be_read_here_is_refused(tmp_path: Path) -> None:
    new = write_checkpoint(tmp_path / "new")
    async with FakeServer(FakeSettings(model_path="/nowhere/model")) as server:
        with pytest.raises(CheckpointError, match="not a folder on this machine"):
            await reload_weights([server.url], new)


async def test_an_unreachable_server_stops_the_reload_before_it_begins(served: Path, tmp_path: Path) -> None:
    new = write_checkpoint(tmp_path / "new")
    async with fake(served) as server:
        with pytest.raises(ServerUnreachable):
            await reload_weights([server.url, "http://127.0.0.1:1"], new)
        assert server.weight_version == "v0"


async def test_a_server_that_cannot_be_brought_there_is_named_and_the_others_are_reloaded(
    served: Path, tmp_path: Path
) -> None:
    new = write_checkpoint(tmp_path / "new", fill=1)
    async with fake(served) as well, fake(served, admin_api_key="secret-key") as closed:
        report = await reload_weights([well.url, closed.url], new)
        assert report.reloaded == (well.url,)
        assert "status 401" in report.failed[closed.url]
        assert closed.weight_version == "v0"
        with pytest.raises(ReloadError, match="1 of 2 servers"):
            report.raise_for_failures()
        keyed = ReloadSettings(admin_api_key="secret-key")
        assert (await reload_weights([closed.url], new, keyed)).failed == {}
    assert "secret-key" not in repr(keyed)


async def test_a_caller_that_is_cancelled_leaves_no_server_paused(served: Path, tmp_path: Path) -> None:
    new = write_checkpoint(tmp_path / "new", fill=1)
    async with fake(served) as server:
        for extra_turns in range(6):
            reloading = asyncio.create_task(reload_weights([server.url], new))
            async with asyncio.timeout(30):
                while not server.paused:
                    await asyncio.sleep(0)
            for _ in range(extra_turns):
                await asyncio.sleep(0)
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)
            assert not server.paused


@pytest.mark.parametrize("settings", [{"mode": "hope"}, {"update_timeout_s": 0}])
def test_settings_out_of_range(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ReloadSettings(**settings)  # type: ignore[arg-type]
