"""`--log` and `--trace` on the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from rro_sdk.metrics import summary_values
from rro_sdk.report.summary import RunSummary
from rro_sdk.testing import TreeSettings, tree_reply
from servers.fake import FakeServer, FakeSettings
from tests.cli.running import rro
from tests.metrics.test_sinks import read_board
from tests.metrics.test_values import Kept
from trainers.events import Event, Stage, Step
from trainers.metrics import telling

SAMPLE = ("sample", "--env", "rro_sdk.testing.tree:suite", "--limit", "2", "--quiet", "--json")


async def test_a_run_ends_with_its_ledger_told_and_its_spans_written(tmp_path: Path) -> None:
    run, spans = tmp_path / "run", tmp_path / "spans.jsonl"
    async with FakeServer(FakeSettings(reply=tree_reply(TreeSettings()))) as server:
        watched = ("--log", "tensorboard", "--log", "prometheus=0", "--trace", str(spans))
        done = await asyncio.to_thread(rro, *SAMPLE, "--servers", server.url, "--run", str(run), *watched)
    assert done.returncode == 0, done.stderr
    expected = summary_values(msgspec.json.decode(done.stdout, type=RunSummary))
    board = read_board(run / "tensorboard")
    assert board.keys() == expected.keys() | {"tokens_per_s", "requests_in_flight", "servers_out"}
    for name in ("pairs", "rollouts", "ledger/kept", "candidates_per_step_null"):
        assert board[name][1] == pytest.approx(expected[name])
    names = [json.loads(line)["name"] for line in spans.read_text(encoding="utf-8").splitlines()]
    assert names.count("rro.task") == 2 and names.count("rro.rollout") == expected["rollouts"]
    text = spans.read_text(encoding="utf-8")
    assert "Thought" not in text and "move 1" not in text


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        (("--log", "grafana"), "choose from tensorboard"),
        (("--trace", "/no/such/folder/spans"), "cannot write spans"),
    ],
)
def test_bad_input_leaves_nothing(watched: tuple[str, ...], said: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = rro(*SAMPLE, "--servers", "http://127.0.0.1:9", "--run", str(run), *watched)
    assert done.returncode == 2 and said in done.stderr
    assert not run.exists()


def test_a_training_refuses_them_before_it_begins(tmp_path: Path) -> None:
    done = rro(
        *("train", "sft", "--data", "none.jsonl", "--model", "none", "--out", str(tmp_path / "out")),
        *("--log", "grafana"),
    )
    assert done.returncode == 2 and "choose from tensorboard" in done.stderr


def test_a_trainings_steps_are_told() -> None:
    sink, seen = Kept(), list[Event]()
    tell = telling([sink], seen.append)
    events = [Stage("train"), Step(1, 2, 0.5, {"rewards/margins": 0.25}), Step(2, 2, 0.25, {})]
    for event in events:
        tell(event)
    assert sink.logged == [({"train/loss": 0.5, "train/rewards/margins": 0.25}, 1), ({"train/loss": 0.25}, 2)]
    assert seen == events
