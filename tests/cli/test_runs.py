"""`rro sample`, broken off and resumed, and the commands that read what it left."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from rro_sdk.checking import check
from rro_sdk.journal import Journal
from rro_sdk.ledger import ledger_of
from servers.fake import FakeServer, FakeSettings, Latency

RRO = [sys.executable, "-c", "from rro_sdk.cli import main; main()"]


def reply(messages: object, seed: int | None, index: int) -> str:
    drawn = (seed or 0) % 6
    if drawn < 2:
        return "Thought: done\nAction: submit"
    column = ("count(*)", "PetID", "*", "weight")[drawn - 2]
    return f"Thought: look\nAction: SELECT {column} FROM pets"


@pytest.fixture
def tasks_file(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    rows = [
        {"id": f"q{n}", "db": "pets_1", "query": f"How many pets, {n}?", "gold": "SELECT count(*) FROM pets"}
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
async def server() -> AsyncGenerator[FakeServer, None]:
    settings = FakeSettings(
        reply=reply, max_running_requests=64, latency=Latency(per_token_s=0.002), model_path="/m/small"
    )
    async with FakeServer(settings) as running:
        yield running


async def rro(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, [*RRO, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def sample(server: FakeServer, tasks_file: Path, run: Path, *more: str) -> list[str]:
    where = ["--servers", server.url, "--tasks", str(tasks_file), "--run", str(run)]
    return ["sample", *where, "-m", "3", "--quiet", *more]


async def interrupt(arguments: list[str], server: FakeServer, after: int, *kinds: int) -> tuple[int, str]:
    """Send signals, one right after the other, once the server has completed so many requests."""
    already = server.counters.completed
    child = await asyncio.create_subprocess_exec(
        *RRO, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            while server.counters.completed - already < after and child.returncode is None:
                await asyncio.sleep(0.01)
            for kind in kinds:
                child.send_signal(kind)
            _, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    return child.returncode or 0, stderr.decode()


async def test_interrupted_or_killed_a_run_goes_on_to_the_same_pairs(
    tmp_path: Path, tasks_file: Path, server: FakeServer
) -> None:
    done = await rro(*sample(server, tasks_file, tmp_path / "whole"))
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "whole" / "pairs.jsonl").read_bytes()
    assert expected
    cost = server.counters.completed

    run = tmp_path / "run"
    code, stderr = await interrupt(sample(server, tasks_file, run), server, cost // 5, signal.SIGINT)
    assert code == 130, stderr
    assert f"go on with: rro resume {run}" in stderr
    code, stderr = await interrupt(
        ["resume", str(run), "--quiet"], server, cost // 5, signal.SIGINT, signal.SIGINT
    )
    assert code in (130, -signal.SIGINT), stderr
    code, stderr = await interrupt(["resume", str(run), "--quiet"], server, cost // 5, signal.SIGKILL)
    assert code == -signal.SIGKILL
    found = await rro("check", str(run), "--json")
    assert found.returncode == 0, found.stdout
    assert json.loads(found.stdout)["owed"], "or nothing was broken off"
    done = await rro("resume", str(run), "--tasks-in-flight", "2")
    assert done.returncode == 0, done.stderr
    assert "kept " in done.stderr
    assert (run / "pairs.jsonl").read_bytes() == expected
    whole, resumed = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "run"))
    for name in ("tokens", "candidates", "rollouts", "pairs", "tasks", "steps"):
        assert resumed[name] == whole[name] or name == "tokens", name
    assert resumed["tokens"]["completion_tokens"] == whole["tokens"]["completion_tokens"]

    refused = await rro(*sample(server, tasks_file, run))
    assert refused.returncode == 2
    assert "resume its run" in refused.stderr


async def test_the_ledger_is_the_servers_own_to_the_token(
    tmp_path: Path, tasks_file: Path, server: FakeServer
) -> None:
    run = tmp_path / "run"
    code, stderr = await interrupt(sample(server, tasks_file, run), server, 60, signal.SIGINT)
    assert code == 130, stderr
    done = await rro("resume", str(run), "--quiet")
    assert done.returncode == 0, done.stderr
    with Journal.open(run) as journal:
        ledger = ledger_of(journal)
    counters = server.counters
    assert ledger.entries["aborted"].requests > 0, "the interrupt gave some up"
    assert ledger.unknown_requests == 0
    assert ledger.total.completion_tokens == counters.completion_tokens
    assert ledger.total.prompt_tokens == counters.prompt_tokens
    assert ledger.total.cached_tokens == counters.cached_tokens
    shown = await rro("cost", str(run), "--gpu-hour", "2.5", "--gpus", "8")
    assert shown.returncode == 0, shown.stderr
    assert f"generated tokens  {counters.completion_tokens:,}" in shown.stdout
    assert "money" in shown.stdout
    refused = await rro("cost", str(run), "--gpus", "0")
    assert refused.returncode == 2


async def test_a_pair_tells_how_it_came_about(tmp_path: Path, tasks_file: Path, server: FakeServer) -> None:
    run = tmp_path / "run"
    done = await rro(*sample(server, tasks_file, run))
    assert done.returncode == 0, done.stderr
    pair = json.loads((run / "pairs.jsonl").read_text().splitlines()[-1])
    told = await rro("explain", str(run), pair["id"])
    assert told.returncode == 0, told.stderr
    for part in ("(chosen)", "(rejected)", "verdict: ", f"server {server.url}", "rollout seeds", "--replay"):
        assert part in told.stdout
    assert pair["chosen"][0]["content"].splitlines()[0] in told.stdout
    story = json.loads((await rro("explain", str(run), pair["id"], "--json")).stdout)
    assert story["pair"]["id"] == pair["id"]
    assert len(story["candidates"]) == len(story["record"]["candidates"])
    replayed = await rro("explain", str(run), pair["id"], "--replay")
    assert replayed.returncode == 0, replayed.stderr
    assert f"replayed {pair['step'] - 1} turns" in replayed.stdout
    unknown = await rro("explain", str(run), "q0/99")
    assert unknown.returncode == 2
    assert "has no pair q0/99" in unknown.stderr


async def test_resume_refuses_what_differs(tmp_path: Path, tasks_file: Path, server: FakeServer) -> None:
    run = tmp_path / "run"
    code, stderr = await interrupt(sample(server, tasks_file, run), server, 40, signal.SIGKILL)
    assert code == -signal.SIGKILL, stderr
    settings = FakeSettings(reply=reply, model_path="/m/small", weight_version="another")
    async with FakeServer(settings) as other:
        refused = await rro("resume", str(run), "--servers", other.url)
    assert refused.returncode == 2
    assert "model.weight_version was 'default' and is 'another'" in refused.stderr
    tasks_file.write_text(tasks_file.read_text().replace("How many pets, 0?", "How many cats?"))
    refused = await rro("resume", str(run))
    assert refused.returncode == 2
    assert "task q0 is not the one" in refused.stderr
    assert (await rro("resume", str(tmp_path / "nothing"))).returncode == 2


async def test_a_secret_of_the_environment_is_not_kept_and_asked_for_again(
    tmp_path: Path, tasks_file: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(
        "from rro_sdk.envs.intercode_sql.suite import suite\n"
        "from rro_sdk.envs.registry import Suite\n"
        "def make(api_key):\n"
        "    assert api_key == 'hunter2'\n"
        "    return suite.make()\n"
        "OWN = Suite(make=make, load_tasks=suite.load_tasks)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run, secret = tmp_path / "run", ("-e", "api_key=hunter2")
    code, stderr = await interrupt(
        sample(server, tasks_file, run, "--env", "own:OWN", *secret), server, 40, signal.SIGINT
    )
    assert code == 130, stderr
    assert not [path for path in run.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    refused = await rro("resume", str(run), "--quiet")
    assert refused.returncode == 2
    assert "does not keep the environment's api_key; give it again" in refused.stderr
    done = await rro("resume", str(run), "--quiet", *secret)
    assert done.returncode == 0, done.stderr
    pair = json.loads((run / "pairs.jsonl").read_text().splitlines()[0])
    refused = await rro("explain", str(run), pair["id"], "--replay")
    assert refused.returncode == 2
    replayed = await rro("explain", str(run), pair["id"], "--replay", *secret)
    assert replayed.returncode == 0, replayed.stderr


@pytest.fixture
def experts_file(tmp_path: Path) -> Path:
    path = tmp_path / "experts.jsonl"
    gold = [{"thought": "t", "command": "SELECT count(*) FROM pets"}, {"thought": "t", "command": "submit"}]
    path.write_text("".join(json.dumps({"id": f"q{n}", "expert": gold}) + "\n" for n in range(12)))
    return path


@pytest.mark.parametrize(("method", "rollouts"), [("mcts", ()), ("ipr", ("-m", "3"))])
async def test_searches_are_broken_off_and_resumed_like_any_run(
    method: str,
    rollouts: tuple[str, ...],
    tmp_path: Path,
    tasks_file: Path,
    experts_file: Path,
    server: FakeServer,
) -> None:
    options = ["--method", method, *rollouts]
    if method == "ipr":
        options += ["--experts", str(experts_file)]

    def begin(name: str) -> list[str]:
        where = ["--servers", server.url, "--tasks", str(tasks_file), "--run", str(tmp_path / name)]
        return ["sample", *where, "--quiet", *options]

    done = await rro(*begin("whole"))
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "whole" / "pairs.jsonl").read_bytes()
    code, _ = await interrupt(begin("run"), server, server.counters.completed // 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    run = tmp_path / "run"
    done = await rro("resume", str(run), "--quiet")
    assert done.returncode == 0, done.stderr
    assert (run / "pairs.jsonl").read_bytes() == expected
    pair = json.loads(expected.splitlines()[-1])["id"]
    told = await rro("explain", str(run), pair, "--replay")
    assert told.returncode == 0, told.stderr
    assert "every observation is the recorded one" in told.stdout
    with Journal.open(run) as journal:
        kinds = ledger_of(journal).entries
    assert kinds["kept"].requests > 0
    assert kinds["speculative"].requests == kinds["open"].requests == 0
    assert not check(run).problems


async def test_a_run_with_other_experts_is_not_the_same_run(
    tmp_path: Path, tasks_file: Path, experts_file: Path, server: FakeServer
) -> None:
    run = tmp_path / "run"
    options = ["--method", "eto", "--experts", str(experts_file)]
    refused = await rro(*sample(server, tasks_file, tmp_path / "none", *options))
    assert refused.returncode == 2
    assert "method eto takes no rollouts" in refused.stderr  # how many it draws is no setting of its
    assert not (tmp_path / "none").exists()
    begin = [word for word in sample(server, tasks_file, run, *options) if word not in ("-m", "3")]
    code, _ = await interrupt(begin, server, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    experts_file.write_text(experts_file.read_text().replace('"thought": "t"', '"thought": "u"'))
    refused = await rro("resume", str(run))
    assert refused.returncode == 2
    assert "method.experts.digest was" in refused.stderr
    experts_file.unlink()
    refused = await rro("resume", str(run))
    assert refused.returncode == 2
    assert "cannot read the experts' file" in refused.stderr


async def test_a_run_that_owes_nothing_is_exported_again_without_a_server(
    tmp_path: Path, tasks_file: Path, server: FakeServer
) -> None:
    run = tmp_path / "run"
    done = await rro(*sample(server, tasks_file, run))
    assert done.returncode == 0, done.stderr
    pairs, asked = (run / "pairs.jsonl").read_bytes(), server.counters.completed
    (run / "pairs.jsonl").unlink()
    (run / "summary.json").unlink()
    await server.stop()
    done = await rro("resume", str(run), "--json")
    assert done.returncode == 0, done.stderr
    assert (run / "pairs.jsonl").read_bytes() == pairs
    assert json.loads(done.stdout)["pairs"] == len(pairs.splitlines())
    assert server.counters.completed == asked


async def test_a_task_that_vanished_is_named(tmp_path: Path, tasks_file: Path, server: FakeServer) -> None:
    run = tmp_path / "run"
    code, _ = await interrupt(sample(server, tasks_file, run), server, 30, signal.SIGKILL)
    assert code == -signal.SIGKILL
    with Journal.open(run) as journal:
        begun, finished = journal.begun(), journal.states().finished
    lost = min(begun - finished)
    kept = [line for line in tasks_file.read_text().splitlines() if json.loads(line)["id"] != lost]
    tasks_file.write_text("\n".join(kept) + "\n")
    refused = await rro("resume", str(run))
    assert refused.returncode == 2
    assert f"began tasks that are not in {tasks_file} any more ({lost})" in refused.stderr
