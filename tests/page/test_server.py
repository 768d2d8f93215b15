"""The server: loopback's names alone, GET alone, errors as one sentence, and nothing written."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rro_sdk.cli import main
from rro_sdk.errors import ConfigError
from rro_sdk.page.bundle import bundle
from rro_sdk.page.server import PageServer
from rro_sdk.page.single_file import assets
from rro_sdk.page.source import Runs


@pytest.fixture
async def server(runs: Runs) -> AsyncIterator[PageServer]:
    async with PageServer(runs) as listening:
        yield listening


async def ask(
    server: PageServer, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, Any, dict[str, str]]:
    headers = {} if host is None else {"Host": host}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session:
        async with session.request(method, server.url.rstrip("/") + path, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text, dict(response.headers)


async def test_only_who_asks_for_this_machine_is_answered(server: PageServer) -> None:
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil:8000",
        "",
        "[::2]:1",
    ):
        status, said, _ = await ask(server, "/api/runs", host=host)
        assert (status, "run" in str(said)) == (403, True), host
        assert "rising" not in str(said)
    for host in ("localhost", "localhost:4000", "127.0.0.1:9", "[::1]:9"):
        assert (await ask(server, "/api/runs", host=host))[0] == 200, host


async def test_nothing_but_get_and_every_answer_is_guarded(server: PageServer, run: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir() if "-shm" not in path.name}
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert (await ask(server, "/api/runs", method=method))[0] == 405
    for path in (
        "/",
        "/static/main.js",
        "/api/runs",
        "/api/task?id=nobody",
        "/nowhere",
        "/static/../server.py",
    ):
        _, _, headers = await ask(server, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
    after = {path.name: path.stat().st_mtime_ns for path in run.iterdir() if "-shm" not in path.name}
    assert after == before


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/task?id=nobody", 400, "no task"),
        ("/api/tasks?sort=nothing", 400, "sorted by"),
        ("/api/tasks?limit=many", 400, "limit"),
        ("/api/tasks?colour=red", 400, "colour"),
        ("/api/figures?run=1", 400, "no run"),
        ("/api/replies?id=loans-000&where=1.2", 400, "ATTEMPT.STEP"),
        ("/static/nothing.js", 404, "Not Found"),
    ],
)
async def test_bad_questions_get_a_sentence(server: PageServer, path: str, status: int, says: str) -> None:
    got, said, _ = await ask(server, path)
    assert got == status
    assert says in (said["error"] if isinstance(said, dict) else said)


async def test_a_port_that_is_taken_is_bad_input(server: PageServer, runs: Runs) -> None:
    with pytest.raises(ConfigError, match="choose another --port"):
        async with PageServer(runs, int(server.url.rstrip("/").rpartition(":")[2])):
            pass


async def test_the_command_serves_until_it_is_interrupted(run: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from rro_sdk.cli import main; main()", "view", str(run), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            assert child.stdout is not None
            url = json.loads(await child.stdout.readline())["url"]
            async with aiohttp.ClientSession() as session, session.get(f"{url}api/runs") as response:
                assert (await response.json())[0]["name"] == "rising"
            child.send_signal(signal.SIGINT)
            _, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    assert (child.returncode, stderr) == (0, b"")


def test_the_command_writes_a_file_or_says_why_not(
    two_runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    main(["view", *map(str, two_runs), "--html", str(page), "--trajectories", "3", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said == {"path": str(page), "tasks": 9, "trajectories": 3, "bytes": page.stat().st_size}
    journal = two_runs[0] / "journal.sqlite"
    kept = journal.read_bytes()
    for bad in (
        ["view", str(tmp_path)],
        ["view", str(two_runs[0]), "--html", str(tmp_path / "no" / "page.html")],
        ["view", str(two_runs[0]), "--html", str(journal)],
    ):
        with pytest.raises(SystemExit) as ended:
            main(bad)
        assert ended.value.code == 2
    assert journal.read_bytes() == kept


def test_the_pages_modules_become_one_script_and_other_forms_are_refused() -> None:
    script = bundle({name: text for name, text in assets().items() if name.endswith(".js")}, "main.js")
    assert "\nimport " not in script
    assert "\nexport " not in script
    assert script.index('modules["dom.js"] =') < script.index('modules["main.js"] =')
    one = 'import { b } from "./b.js";\nexport const a = b;\n'
    for modules, why in (
        ({"a.js": one}, "not there"),
        ({"a.js": one, "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n'}, "import each other"),
        ({"a.js": "export default 1;\n"}, "cannot be bundled"),
    ):
        with pytest.raises(ValueError, match=why):
            bundle(modules, "a.js")
