"""Kills around the calls of a reload and the rename of a checkpoint."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import write_checkpoint


async def child(module: str, *arguments: str) -> tuple[int, str]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.chaos.{module}", *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            _, errors = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    return running.returncode or 0, errors.decode()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reload_killed_around_any_call_leaves_a_server_that_serves(tmp_path: Path, when: str) -> None:
    old, new = (write_checkpoint(tmp_path / name, fill=fill) for fill, name in enumerate(("old", "new")))
    calls = 0
    while True:
        calls += 1
        async with FakeServer(FakeSettings(model_path=str(old))) as server:
            code, errors = await child("reloader", server.url, str(new), when, str(calls))
            if code == 0:
                break
            assert code == -signal.SIGKILL, errors
            async with asyncio.timeout(30):
                while server.paused:
                    await asyncio.sleep(0.02)
            code, errors = await child("reloader", server.url, str(new))
            assert code == 0, errors
            assert server.weight_version != "default", "and the next reload brings it to the checkpoint"
    assert calls > 5, "a reload is more than a few calls"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path: Path, when: str) -> None:
    pytest.importorskip("trl", reason="needs the [train] extra")
    model, data, out = write_checkpoint(tmp_path / "model"), tmp_path / "pairs.jsonl", tmp_path / "out"
    sides = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    data.write_text(json.dumps({"prompt": [{"role": "user", "content": "go"}], **sides}) + "\n")
    arguments = ("publisher", str(model), str(data), str(out))
    code, errors = await child(*arguments, when)
    assert code == -signal.SIGKILL, errors
    assert out.exists() == (when == "after")
    if not out.exists():
        code, errors = await child(*arguments)
        assert code == 0, errors
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in model.iterdir()
    }
