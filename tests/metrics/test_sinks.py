"""Sinks by the real clients: what a run told them is read back from where they put it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rro_sdk.errors import ConfigError
from rro_sdk.metrics import summary_values
from rro_sdk.metrics.prometheus import Prometheus
from rro_sdk.metrics.tensorboard import TensorBoard
from rro_sdk.sampler import Sampler
from rro_sdk.testing import TreeEnv, TreePolicy, tree_tasks
from tests.conftest import REPOSITORY, missing

CLIENTS = REPOSITORY / ".venv-integrations"
"""wandb and trackio, which the environment is spared."""


async def test_a_run_is_told_to_tensorboard_and_to_prometheus(tmp_path: Path) -> None:
    board, endpoint = TensorBoard(tmp_path / "board"), Prometheus(0)
    try:
        async with Sampler(TreeEnv(), policy=TreePolicy(), metrics=[board, endpoint]) as sampler:
            async for _ in sampler.events(tree_tasks(2)):
                pass
        expected = summary_values(sampler.summary())
        scraped = httpx2.get(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=10.0).text
    finally:
        board.close()
        endpoint.close()
    samples = {
        (sample.name, sample.labels.get("kind", "")): sample.value
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    }
    assert samples["rro_pairs_total", ""] == expected["pairs"]
    assert samples["rro_tasks_total", "finished"] == 2.0
    assert samples["rro_tokens_total", "generated"] == expected["tokens/generated"]
    assert samples["rro_candidates_per_step", ""] == expected["candidates_per_step"]
    assert samples["rro_candidates_per_step_null", ""] == expected["candidates_per_step_null"]
    written = read_board(tmp_path / "board")
    assert written["pairs"] == (sampler.stats.steps, expected["pairs"])
    assert written.keys() >= expected.keys() - {"wall_s"}


def read_board(folder: Path) -> dict[str, tuple[int, float]]:
    """The last value of each scalar and its step, from the event file's records."""
    from tensorboardX.proto import event_pb2

    (file,) = folder.iterdir()
    data, at = file.read_bytes(), 0
    found: dict[str, tuple[int, float]] = {}
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
        for value in event.summary.value:
            found[value.tag] = event.step, value.simple_value
        at += 16 + length
    return found


def test_a_port_that_is_taken_is_said() -> None:
    endpoint = Prometheus(0)
    try:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{endpoint.port}"):
            Prometheus(endpoint.port)
    finally:
        endpoint.close()
        endpoint.close()


@pytest.mark.parametrize(
    ("module", "sink", "extra"),
    [
        ("wandb", "wandb.WandB", "wandb"),
        ("trackio", "trackio.Trackio", "trackio"),
        ("tensorboardX", "tensorboard.TensorBoard", "tensorboard"),
        ("prometheus_client", "prometheus.Prometheus", "prometheus"),
    ],
)
def test_a_client_that_is_missing_is_named(
    module: str, sink: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from importlib import import_module

    monkeypatch.setitem(sys.modules, module, None)
    where, _, name = sink.rpartition(".")
    make = getattr(import_module(f"rro_sdk.metrics.{where}"), name)
    with pytest.raises(ConfigError, match=rf"pip install 'rro-sdk\[{extra}\]'"):
        make(*([tmp_path] if extra == "tensorboard" else []))


PROGRAM = """
import json, sys
from rro_sdk.metrics import open_sinks
with open_sinks(["wandb=p", "trackio=p"], "runs/first") as sinks:
    print("a line of the program")
    for step in (1, 2):
        for sink in sinks:
            sink.log({"pairs": step, "candidates_per_step": 1.5}, step)
"""

READ = """
import json
from pathlib import Path
from trackio.sqlite_storage import SQLiteStorage
from wandb.proto import wandb_internal_pb2 as pb

def records(data, block=32768, at=7):  # after a header, LevelDB's log: checksum, length, kind
    whole = b""
    while at + 7 <= len(data):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield pb.Record.FromString(whole)
            whole = b""

(file,) = Path(".").glob("wandb/offline-run-*/run-*.wandb")
rows, name, sent = [], "", file.read_bytes()
for record in records(sent):
    name = record.run.display_name or name
    if record.WhichOneof("record_type") == "history":
        items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        rows.append((items["_step"], items["pairs"], items["candidates_per_step"]))
kept = SQLiteStorage.get_logs("p", "first")
print(json.dumps({
    "wandb": rows, "name": name, "console": b"a line of the program" in sent,
    "trackio": [(row["step"], row["pairs"], row["candidates_per_step"]) for row in kept],
}))
"""


def test_weights_and_biases_offline_and_trackio(tmp_path: Path) -> None:
    if not CLIENTS.is_dir():
        missing(CLIENTS.name, f"`make {CLIENTS.name}/.ready` installs wandb and trackio into it")
    environment = {
        **os.environ,
        "PYTHONPATH": str(CLIENTS),
        "HOME": str(tmp_path),
        "WANDB_MODE": "offline",
        "WANDB_ERROR_REPORTING": "false",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }
    for program in (PROGRAM, READ):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wandb"] == [[1, 1, 1.5], [2, 2, 1.5]] and found["name"] == "first"
    assert found["console"] is False
    assert found["trackio"] == [[1, 1, 1.5], [2, 2, 1.5]]
