"""One training on several nodes: what each runs, what is refused, what is heard of them; and real ones."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from rro_sdk.errors import ConfigError, DataError, TrainingError
from tests.cluster.nodes import ray_nodes
from tests.conftest import REPOSITORY
from trainers import DPOSettings, train_dpo
from trainers.events import Alive, Event, Failed, Step, encode
from trainers.held import Held, Looked, Said
from trainers.launching import command, command_on_node
from trainers.leftovers import log_of_node
from trainers.nodes import Nodes, Room, refuse_too_few
from trainers.on_nodes import pass_on, refuse_strangers

from .conftest import pair_rows, write_rows

SETTINGS = DPOSettings(data=Path("d"), model=Path("m"), out=Path("o"), launch="fsdp-nodes")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the [ray] extra")
slow = pytest.mark.skipif(
    os.environ.get("RRO_LAUNCH") != "1", reason="starts Ray and several processes: set RRO_LAUNCH=1"
)
GPUS = Nodes(count=2, gpus=8, cpus=16)


@pytest.mark.parametrize("name", ["ddp", "fsdp", "fsdp-nodes", "deepspeed-zero3", "deepspeed-zero3-nodes"])
def test_accelerate_takes_the_command_of_each_node(name: str) -> None:
    """Its own check of a launch, over configurations of one machine too."""
    pytest.importorskip("accelerate", reason="needs the [train] extra")
    from accelerate.commands import launch

    for rank in (0, 1):
        argv = command_on_node(dataclasses.replace(SETTINGS, launch=name), GPUS, rank, "10.0.0.7", 4711)
        assert argv[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
        parsed = launch.launch_command_parser().parse_args([*argv[3:], "settings.json", "work", "log"])
        taken, _, _ = launch._validate_launch_command(parsed)
        assert (taken.num_machines, taken.machine_rank, taken.num_processes) == (2, rank, 16)
        assert (taken.main_process_ip, int(taken.main_process_port)) == ("10.0.0.7", 4711)
        assert taken.training_script == "trainers.dpo"
        if name.startswith("deepspeed"):
            taken.deepspeed_fields_from_accelerate_config = ""  # which its `launch_command` sets
            made, _ = launch.prepare_deepspeed_cmd_env(taken)
            assert made is None  # torch's launcher: nothing is started on other nodes by ssh
            assert (int(taken.node_rank), taken.nproc_per_node) == (rank, "8")


@pytest.mark.parametrize(
    ("settings", "nodes", "said"),
    [
        ({"launch": None}, GPUS, "launch is missing, and the training is to be on 2 nodes"),
        ({"launch": "cpu"}, GPUS, "launch is 'cpu' and each node gives 8 GPUs"),
        ({}, Nodes(count=2), "launch is 'fsdp-nodes' and each node gives 0 GPUs"),
        ({"processes": 12}, GPUS, "processes is 12: 2 nodes run one for each of their 8 GPUs"),
        ({"launch": "cpu", "processes": 3}, Nodes(count=2), "processes is 3: 2 nodes run equally many"),
        ({"launch": "fsbp"}, GPUS, "launch is 'fsbp': give a file"),
    ],
)
def test_what_cannot_be_launched_is_refused(settings: dict[str, object], nodes: Nodes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        command(dataclasses.replace(SETTINGS, **settings), nodes)  # type: ignore[arg-type]


def test_fewer_gpus_than_asked_are_refused_with_the_numbers() -> None:
    there = [Room("10.0.0.1", 64, 8), Room("10.0.0.2", 64, 4), Room("10.0.0.3", 0, 0)]
    said = (
        "training asks for 2 nodes with 8 GPUs and 16 CPUs each, and the cluster has 1 of them"
        " (10.0.0.1: 8 GPUs, 64 CPUs; 10.0.0.2: 4 GPUs, 64 CPUs); ask for fewer, or add nodes"
    )
    with pytest.raises(ConfigError) as refused:
        refuse_too_few(GPUS, there)
    assert str(refused.value) == said
    refuse_too_few(Nodes(count=2, gpus=4, cpus=64), there)
    with pytest.raises(ConfigError, match=r"the cluster has 0 of them \(no node with any\)"):
        refuse_too_few(GPUS, [])


def test_nodes_that_differ_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    held = Held()
    blind = held.look("10.0.0.2", str(tmp_path / "elsewhere.json"), "?")
    other = held.look("10.0.0.2", str(tmp_path / "settings.json"), "of another content")
    assert (blind.sees, other.sees) == (False, False)
    fine = Looked("10.0.0.1", 1, True, {"torch": "2.13"})
    refuse_strangers([fine, fine], tmp_path)
    with pytest.raises(ConfigError, match=f"node 10.0.0.2 does not see {tmp_path}"):
        refuse_strangers([fine, blind], tmp_path)
    with pytest.raises(ConfigError, match=r"node 10.0.0.2 has torch 2.12 and node 10.0.0.1 2.13"):
        refuse_strangers([fine, Looked("10.0.0.2", 1, True, {"torch": "2.12"})], tmp_path)


def test_the_first_node_speaks_and_every_failure_is_heard(tmp_path: Path) -> None:
    heard: list[Event] = []

    def hear(rank: int, *said: Event, status: int | None = None) -> bool:
        lines = [encode(each) for each in said]
        return pass_on(
            Said(lines, status), rank, "10.0.0.9", log_of_node(tmp_path / "log", rank), heard.append
        )

    assert not hear(0, Alive())
    assert not hear(1, Alive())
    assert hear(1, status=0)
    assert heard == [Alive()]
    with pytest.raises(DataError, match=r"^row 3 is none$"):
        hear(0, Failed("DataError", "row 3 is none"))
    with pytest.raises(DataError, match=r"^on node 10.0.0.9: row 3 is none$"):
        hear(1, Failed("DataError", "row 3 is none"))
    with pytest.raises(TrainingError, match=r"node 10.0.0.9 ended with status 9: see .*/log\.1$"):
        hear(1, status=9)


def test_what_is_held_is_heard_to_its_end_and_ends_with_its_holder(tmp_path: Path) -> None:
    held = Held()
    program = (
        "import sys; print('one'); print('two', flush=True); print('no', file=sys.stderr); sys.stdin.read()"
    )
    held.run([sys.executable, "-c", program + "; sys.exit(3)"], {}, tmp_path / "log")
    lines: list[bytes] = []
    while len(lines) < 2:
        said = held.read()
        assert said.status is None
        lines += said.lines
    held.let_go()
    while said.status is None:
        said = held.read()
    assert (lines, said.status) == ([b"one\n", b"two\n"], 3)
    assert (tmp_path / "log").read_text() == "no\n"


@needs_ray
@slow
def test_two_nodes_train_as_one_process_with_twice_the_batch(tiny: Path, tmp_path: Path) -> None:
    """Two Ray nodes of this machine with a process each, over gloo."""
    pairs = pair_rows(8)
    settings = DPOSettings(
        data=write_rows(tmp_path / "pairs.jsonl", pairs), model=tiny, out=tmp_path / "two",
        steps=2, batch_size=2, lr=1e-3, threads=1, launch="cpu",
    )  # fmt: skip
    with ray_nodes(2) as nodes:
        with pytest.raises(ConfigError, match=r"3 nodes with 0 GPUs and 1 CPUs each, and the cluster has 2"):
            train_dpo(settings, nodes=Nodes(count=3, address=nodes.address))
        assert not settings.out.exists()
        two = train_dpo(settings, nodes=Nodes(count=2, address=nodes.address))
    one = train_dpo(dataclasses.replace(settings, out=tmp_path / "one", batch_size=4, launch=None))
    assert two.first_loss == pytest.approx(one.first_loss, rel=1e-4)
    assert two.final_loss == pytest.approx(one.final_loss, rel=1e-2)
    assert sorted(path.name for path in settings.out.iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


LAUNCHER = """
import subprocess, sys
from pathlib import Path
# As torch's own: a trainer that has this process's standard input.
sys.exit(subprocess.call([sys.executable, str(Path(__file__).with_name("trainer.py")), *sys.argv]))
"""

TRAINER = f"""
import os, sys
os.write(1, {encode(Step(1, 9, 0.5, {}))!r})
sys.stdin.read()
sys.exit(1)
"""

PARENT = """
import sys
from pathlib import Path
from trainers import DPOSettings, train_dpo
from trainers.nodes import Nodes
data, model, out, address = sys.argv[1:]
settings = DPOSettings(data=Path(data), model=Path(model), out=Path(out), launch="cpu")
train_dpo(settings, nodes=Nodes(count=2, address=address), on_event=lambda event: print("heard", flush=True))
"""


@needs_ray
@slow
def test_nothing_is_left_where_a_node_or_the_parent_is_lost(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real Ray, with a launcher in the place of torch's that starts at once and trains for ever."""
    run = tmp_path / "path" / "torch" / "distributed" / "run.py"
    run.parent.mkdir(parents=True)
    for package in (run.parent, run.parent.parent):
        (package / "__init__.py").touch()
    run.write_text(LAUNCHER)
    run.with_name("trainer.py").write_text(TRAINER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), str(REPOSITORY)]))
    data = write_rows(tmp_path / "pairs.jsonl", pair_rows(2))
    with ray_nodes(2) as nodes:

        def lose_a_node(event: Event) -> None:
            nodes.kill(nodes.samplers[-1])

        settings = DPOSettings(data=data, model=tiny, out=tmp_path / "lost", launch="cpu")
        with pytest.raises(TrainingError, match="a node that trains was lost"):
            train_dpo(settings, nodes=Nodes(count=2, address=nodes.address), on_event=lose_a_node)
        assert ended(tmp_path / "lost")
        nodes.add()
        nodes.ready()
        arguments = [str(data), str(tiny), str(tmp_path / "killed"), nodes.address]
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None and parent.stdout.readline() == "heard\n"
        assert running(tmp_path / "killed")
        parent.kill()
        parent.communicate(timeout=60)
        assert ended(tmp_path / "killed")
    assert not (tmp_path / "lost").exists() and not (tmp_path / "killed").exists()


def running(out: Path) -> list[int]:
    """Processes that were told of a checkpoint, or of the hidden folder beside it."""
    found = []
    for each in psutil.process_iter(["cmdline"]):
        words = each.info["cmdline"] or []
        if each.pid != os.getpid() and any(out.name in Path(word).parent.name for word in words):
            found.append(each.pid)
    return found


def ended(out: Path) -> bool:
    until = time.monotonic() + 60
    while running(out) and time.monotonic() < until:
        time.sleep(0.05)
    return not running(out)
