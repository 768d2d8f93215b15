"""What a trainer's process says while a stage has no steps to tell of."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from rro_sdk.errors import TrainingError
from trainers import Event, SFTSettings, Stage
from trainers.events import Alive
from trainers.heartbeat import BEATS, Heartbeat
from trainers.process import train

from .conftest import sft_rows, write_rows

DEADLINE_S = 60.0
CHILD = """
import sys
from trainers.events import Alive, Failed, Stage, encode
for event in (Stage("prepare"), Alive(), Alive(), Failed("TrainingError", "that was all")):
    sys.stdout.buffer.write(encode(event))
"""


def test_only_stages_without_steps_beat_and_not_for_ever() -> None:
    said: list[Event] = []
    heartbeat = Heartbeat(said.append)
    heartbeat.beat()
    assert said == [], "no stage has begun"
    for _ in range(2):  # each stage has its own
        said.clear()
        heartbeat.send(Stage("prepare"))
        for _ in range(BEATS + 5):
            heartbeat.beat()
        assert said == [Stage("prepare"), *[Alive()] * BEATS]
    heartbeat.send(Stage("save"))
    said.clear()
    heartbeat.send(Stage("train"))
    heartbeat.beat()
    assert said == [Stage("train")], "a training whose steps stop hangs"


def test_it_beats_by_itself_until_it_is_over() -> None:
    beaten = threading.Semaphore(0)
    with Heartbeat(lambda event: beaten.release(), every_s=0.001) as heartbeat:
        heartbeat.send(Stage("prepare"))
        for _ in range(4):
            assert beaten.acquire(timeout=DEADLINE_S)
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_a_beat_is_heard_and_passed_to_nobody(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.process.command", lambda *_: [sys.executable, "-c", CHILD])
    data = write_rows(tmp_path / "sft.jsonl", sft_rows(2))
    said: list[Event] = []
    with pytest.raises(TrainingError, match="that was all"):
        train(SFTSettings(data=data, model=tiny, out=tmp_path / "out"), on_event=said.append)
    assert said == [Stage("prepare")]
