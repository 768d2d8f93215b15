"""The command line: its exit code, and one clear sentence where the input is bad."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.errors import DataError
from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import SHAPES, write_checkpoint
from tests.cli.running import Done, rro


async def rro_async(*arguments: str) -> Done:
    """The same beside a fake server that lives in this test's loop."""
    return await asyncio.to_thread(rro, *arguments)


def answer(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int) -> str:
    """Queries that sometimes answer the question, then submit."""
    if sum(message["role"] == "assistant" for message in messages):
        return "Thought: done\nAction: submit"
    return f"Thought: try\nAction: SELECT {(seed or 0) % 3}"


TASKS = [
    {"idx": number, "db": "pets_1", "query": f"How much is {number % 3}?", "gold": f"SELECT {number % 3}"}
    for number in range(6)
]


@pytest.fixture
def tasks_file(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(task) + "\n" for task in TASKS))
    return path


def one_clear_error(done: Done, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def test_a_real_process_ends_with_the_code_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from rro_sdk.cli import main; main()", "report", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


async def test_sample_report_and_evaluate_on_a_server(tmp_path: Path, tasks_file: Path) -> None:
    run = tmp_path / "run"
    async with FakeServer(FakeSettings(reply=answer)) as server:
        common = ("--servers", server.url, "--tasks", str(tasks_file))
        sampled = await rro_async("sample", *common, "--run", str(run), "-m", "2", "--json")
        evaluated = await rro_async("evaluate", *common, "--json", "--temperature", "1")
    assert sampled.returncode == 0, sampled.stderr
    summary = json.loads(sampled.stdout)
    assert summary["tasks"] == len(TASKS)
    assert summary["pairs"] == len((run / "pairs.jsonl").read_text().splitlines()) > 0
    assert summary["candidates_per_step_null"] is not None
    assert json.loads((run / "summary.json").read_text()) == summary
    reported = rro("report", str(run), "--json")
    again = json.loads(reported.stdout)
    assert {**again, "wall_s": 0} == {**summary, "wall_s": 0}
    assert "null" in rro("report", str(run)).stdout
    assert json.loads(evaluated.stdout)["tasks"] == len(TASKS)


async def test_the_same_seed_gives_the_same_file(tmp_path: Path, tasks_file: Path) -> None:
    async with FakeServer(FakeSettings(reply=answer)) as one, FakeServer(FakeSettings(reply=answer)) as two:
        runs = [
            ("a", [one.url], "1"),
            ("b", [one.url, two.url], "32"),
        ]
        for name, urls, at_once in runs:
            done = await rro_async(
                "sample", *(part for url in urls for part in ("-s", url)), "--tasks", str(tasks_file),
                "--run", str(tmp_path / name), "-m", "3", "--concurrency", at_once, "--quiet",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "a" / "pairs.jsonl").read_bytes() == (tmp_path / "b" / "pairs.jsonl").read_bytes()


async def test_a_list_of_servers_is_asked_for_as_much_as_its_servers(
    tmp_path: Path, tasks_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def evaluate(*given: object, at_once: int, **settings: object) -> None:
        asked.append(at_once)
        raise DataError("enough")

    monkeypatch.setattr("rro_sdk.evaluation.evaluate", evaluate)
    async with FakeServer(FakeSettings(reply=answer)) as one, FakeServer(FakeSettings(reply=answer)) as two:
        (tmp_path / "urls").write_text(f"{one.url}\n{two.url}\n")
        servers = f"@{tmp_path / 'urls'}"
        done = await rro_async("evaluate", "-s", servers, "--tasks", str(tasks_file), "--concurrency", "3")
    assert done.returncode == 2 and asked == [2 * 3]


def test_an_unreachable_server(tmp_path: Path, tasks_file: Path) -> None:
    done = rro(
        "sample", "-s", "http://127.0.0.1:1", "--tasks", str(tasks_file), "--run", str(tmp_path / "run")
    )
    one_clear_error(done, "http://127.0.0.1:1", "is it running?")
    assert not (tmp_path / "run").exists()


def test_an_empty_task_list(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    done = rro(
        "sample",
        "-s",
        "http://127.0.0.1:1",
        "--tasks",
        str(tmp_path / "none.jsonl"),
        "--run",
        str(tmp_path / "run"),
    )
    one_clear_error(done, "none.jsonl")
    assert not (tmp_path / "run").exists()


def test_a_task_file_with_a_wrong_line(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text(
        '{"idx": 0, "db": "pets_1", "query": "?", "gold": "SELECT 1"}\n{"idx": 1}\n'
    )
    done = rro(
        "sample",
        "-s",
        "http://127.0.0.1:1",
        "--tasks",
        str(tmp_path / "tasks.jsonl"),
        "--run",
        str(tmp_path / "run"),
    )
    one_clear_error(done, "tasks.jsonl", "line 2")


def test_an_existing_run_folder(tmp_path: Path, tasks_file: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    done = rro(
        "sample", "-s", "http://127.0.0.1:1", "--tasks", str(tasks_file), "--run", str(tmp_path / "run")
    )
    one_clear_error(done, "run", "not empty")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "chess"], ["chess", "intercode-sql"]),
        (["-e", "show_schema"], ["KEY=VALUE"]),
        (["-e", "colour=red"], ["colour"]),
        (["-m", "0"], ["rollouts"]),
        (["--temperature", "9"], ["temperature"]),
        (["--limit", "0"], ["--limit"]),
        (["--concurrency", "0"], ["concurrency"]),
    ],
)
async def test_settings_that_cannot_be_right(
    tmp_path: Path, tasks_file: Path, arguments: list[str], words: list[str]
) -> None:
    async with FakeServer() as server:
        base = ("-s", server.url, "--tasks", str(tasks_file), "--run", str(tmp_path / "run"))
        one_clear_error(await rro_async("sample", *base, *arguments), *words)
    assert not (tmp_path / "run").exists()


def test_report_of_no_run(tmp_path: Path) -> None:
    one_clear_error(rro("report", str(tmp_path)), "holds no run")


def test_serve_without_a_model(tmp_path: Path) -> None:
    one_clear_error(rro("serve", "--model", str(tmp_path / "absent")), "absent")


def test_serve_on_a_port_that_is_taken(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        one_clear_error(rro("serve", "--model", str(model), "--port", port), port)


async def test_reload_with_a_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    served = write_checkpoint(tmp_path / "served")
    other = write_checkpoint(tmp_path / "other", architecture="Other", shapes={**SHAPES, "x": (1,)})
    async with FakeServer(FakeSettings(model_path=str(served), weight_version="v0")) as server:
        one_clear_error(
            await rro_async("reload", "-s", server.url, "--checkpoint", str(other)),
            "architecture",
            server.url,
        )
        assert server.weight_version == "v0"
        good = write_checkpoint(tmp_path / "good", fill=1)
        done = await rro_async(
            "reload", "-s", server.url, "--checkpoint", str(good), "--weight-version", "v1"
        )
        assert done.returncode == 0, done.stderr
        assert "v1" in done.stdout
        assert server.weight_version == "v1"


def test_train_on_a_pairs_file_with_a_torn_last_line(tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row)[:30])
    model = write_checkpoint(tmp_path / "model")
    done = rro(
        "train",
        "dpo",
        "--pairs",
        str(tmp_path / "pairs.jsonl"),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "out"),
    )
    one_clear_error(done, "pairs.jsonl", "2")
    assert not (tmp_path / "out").exists()


def test_quickstart_keeps_the_run_before_until_the_next_can_begin(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in (".rro-quickstart", "pairs.jsonl"):
        (tmp_path / "out" / name).touch()
    given = ("--out", str(tmp_path / "out"), "--force", "--model", str(tmp_path / "none"))
    one_clear_error(rro("quickstart", *given), "is not a checkpoint folder")
    assert (tmp_path / "out" / "pairs.jsonl").exists()


def test_quickstart_leaves_a_folder_that_it_did_not_make_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    one_clear_error(rro("quickstart", "--out", str(tmp_path / "out"), "--force"), "not empty")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
