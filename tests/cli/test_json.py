"""`--json` prints one line of JSON on stdout, and nothing else there, whatever is printed without it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import write_checkpoint
from tests.cli.running import rro
from tests.cli.test_cli import TASKS, answer


async def plain(*arguments: str) -> Any:
    done = await asyncio.to_thread(rro, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


async def test_what_makes_and_reads_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS[:3]))
    async with FakeServer(FakeSettings(reply=answer)) as server:
        given = ("--servers", server.url, "--tasks", "tasks.jsonl", "--method", "fixed")
        sampled = await plain("sample", *given, "--run", "run", "-m", "2", "--max-candidates", "4")
    for name in ("report", "resume"):
        assert (await plain(name, "run"))["pairs"] == sampled["pairs"] > 0
    assert (await plain("check", "run"))["problems"] == []
    assert (await plain("check", "run", "--recover", "saved"))["pairs"] == sampled["pairs"]
    assert (await plain("cost", "run"))["total"] == sampled["tokens"]
    assert (await plain("export", "run", "--to", "trl"))["rows"] == sampled["pairs"]
    pair = json.loads((tmp_path / "run" / "pairs.jsonl").read_text().splitlines()[0])["id"]
    story = await plain("explain", "run", pair)
    replayed = await plain("explain", "run", pair, "--replay")
    assert replayed.pop("replay")["turns"] == []
    assert replayed == story


async def test_what_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_checkpoint(tmp_path / "models" / "smollm2")
    assert (await plain("model", "get", "smollm2")) == {"folder": "models/smollm2", "made": False}
    assert (await plain("env", "down", "mariadb")) == {"ended": False}
    assert (await plain("plan", "--success-rate", "0.5", "--steps", "20"))["steps"] == 20
    assert {each["name"] for each in await plain("data", "list")} >= {"intercode-sql"}
