"""Servers on a cluster, without the cluster: places, what a lost one is made anew with, copies, lists."""

from __future__ import annotations

import itertools
import math
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.errors import CheckpointError, ConfigError, ServerStartError
from servers._launch import build_argv
from servers.cluster import staging
from servers.cluster.layout import (
    Layout,
    Node,
    fits,
    listens_on,
    node_of,
    rank_arguments,
    reached_at,
    refuse_shortage,
)
from servers.cluster.member import last_words
from servers.cluster.replica import Look, Replica, Start
from servers.cluster.staging import Receiver, manifest_of, pieces_of
from servers.cluster.succession import WAITS_S, WELL_S, Losses, Seen, Weights, is_behind, served_now
from servers.listing import Listing
from servers.settings import ServerSettings
from tests.checkpoints import write_checkpoint
from tests.servers.processes import exists, until

OLD, NEW = Weights("/old", "v1"), Weights("/new", "v2")


def _can_be_dealt_out(room: tuple[int, ...], servers: int, nodes: int) -> bool:
    """By trying: each server takes a place on so many different nodes."""
    if servers == 0:
        return True
    return any(
        _can_be_dealt_out(
            tuple(places - (index in chosen) for index, places in enumerate(room)), servers - 1, nodes
        )
        for chosen in itertools.combinations([index for index, places in enumerate(room) if places], nodes)
    )


@given(st.lists(st.integers(0, 3), max_size=4).map(tuple), st.integers(1, 4), st.integers(1, 3))
def test_servers_fit_where_they_can_be_dealt_out(room: tuple[int, ...], servers: int, nodes: int) -> None:
    assert fits(room, servers, nodes) == _can_be_dealt_out(room, servers, nodes)


@pytest.mark.parametrize(
    ("layout", "nodes", "said"),
    [
        (
            Layout(servers=4, gpus=2),
            [Node("a", 4), Node("b", 2)],
            "4 servers of 2 GPUs each need 8 GPUs, and the cluster has 6 (4 on a, 2 on b): ask for fewer, or"
            " add nodes",
        ),
        (
            Layout(servers=2, gpus=2),
            [Node("a", 3), Node("b", 1)],
            "need 4 GPUs, and the cluster has 4 (3 on a, 1 on b)",
        ),
        (
            Layout(servers=1, gpus=4, nodes=2, tp=4),
            [Node("a", 8)],
            "1 servers of 4 GPUs each across 2 nodes need 4 GPUs",
        ),
        (Layout(), [Node("a", cpus=8)], "and the cluster has 0: ask for fewer, or add nodes; without GPUs"),
        (
            Layout(servers=9, gpus=0),
            [Node("a", 8, 8)],
            "9 servers of 1 CPU each need 9 CPUs, and the cluster has 8",
        ),
    ],
)
def test_too_few_are_refused_with_the_numbers(layout: Layout, nodes: list[Node], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_shortage(layout, nodes)
    assert said in str(refused.value)
    refuse_shortage(layout, [*nodes, *(Node(f"more{i}", 9, 9) for i in range(2))])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"servers": 0}, "servers must be 1 or more"),
        ({"gpus": -1}, "gpus of a server must be 0 or more"),
        ({"gpus": 3, "nodes": 2, "tp": 2}, "3 GPUs cannot be shared out evenly over 2 nodes"),
        ({"gpus": 4, "nodes": 2, "tp": 1}, "1 tensor-parallel ranks cannot be shared out over 2"),
        ({"gpus": 1, "tp": 2}, "2 tensor-parallel ranks need as many GPUs"),
    ],
)
def test_layouts_that_cannot_be(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Layout(**settings)


def test_what_the_ranks_of_a_server_across_nodes_are_told(checkpoint: Path) -> None:
    assert rank_arguments(0, 1, "", 0) == ()
    meet = ("--dist-init-addr", "10.0.0.1:5000")
    assert rank_arguments(1, 2, "10.0.0.1", 5000) == ("--nnodes", "2", "--node-rank", "1", *meet)
    assert rank_arguments(0, 2, "fd00::1", 5000)[-1] == "[fd00::1]:5000"
    settings = ServerSettings(model=checkpoint, tp=4, extra_args=rank_arguments(1, 2, "10.0.0.1", 5000))
    argv = build_argv(settings.for_launcher(30000), "cuda", "bfloat16")
    assert argv[argv.index("--tp-size") + 1] == "4"  # of all nodes together, as SGLang counts
    assert argv[-6:] == ["--nnodes", "2", "--node-rank", "1", *meet]


def test_servers_listen_where_samplers_reach_them() -> None:
    row = {"NodeManagerAddress": "10.0.0.1", "Resources": {"GPU": 8.0, "CPU": 64.0, "memory": 1e9}}
    assert node_of(row) == Node("10.0.0.1", 8.0, 64.0)
    one, two = Node("10.0.0.1"), Node("10.0.0.2")
    assert listens_on(None, "10.0.0.1", [one, one]) == "127.0.0.1"
    assert listens_on(None, "10.0.0.1", [one, two]) == "10.0.0.1"
    assert (listens_on("0.0.0.0", "10.0.0.1", [one]), reached_at("0.0.0.0", "10.0.0.1")) == (
        "0.0.0.0",
        "10.0.0.1",
    )


def test_a_lost_server_begins_with_what_most_of_the_others_serve() -> None:
    assert served_now([], OLD) == OLD
    assert served_now([Seen(NEW, 5.0), Seen(NEW, 6.0), Seen(OLD)], OLD) == NEW
    # Two servers in the middle of a reload, in either order: what one changed to, not what the other kept.
    assert served_now([Seen(OLD), Seen(NEW, 5.0)], OLD) == served_now([Seen(NEW, 5.0), Seen(OLD)], OLD) == NEW
    # Taken back to the old ones, which were served before.
    assert served_now([Seen(NEW, 5.0), Seen(OLD, 9.0)], NEW) == OLD
    # One folder has several names; the version says whether weights are the same.
    assert Seen(NEW, 5.0).looked_at(Weights("/mnt/latest", "v2"), 9.0).since == 5.0


@given(st.permutations(range(5)), st.integers(0, 5))
def test_whoever_missed_a_reload_is_behind_and_whoever_is_ahead_in_one_is_not(
    order: list[int], done: int
) -> None:
    seen = [Seen(OLD)] * 5
    for at, index in enumerate(order[:done]):
        seen[index] = seen[index].looked_at(NEW, float(at))
    behind = {index for index in range(5) if is_behind(seen[index], seen, OLD)}
    assert behind == (set(order[done:]) if done >= 3 else set())


@given(st.lists(st.floats(0, 2 * WELL_S), max_size=30))
def test_starts_are_bounded_unless_the_server_was_well_in_between(served: list[float]) -> None:
    losses, now, row = Losses(), 0.0, 0
    for seconds in served:
        if losses.next_at is None:
            break
        now = max(now, losses.next_at) + seconds
        losses = losses.after(now, seconds)
        row = 1 if seconds >= WELL_S else row + 1
        assert (losses.next_at is None) == (row > len(WAITS_S))
        assert losses.next_at is None or losses.next_at >= now
    assert Losses().next_at == -math.inf


def _copy(
    source: Path, stage: Path, change: Callable[[str, bytes], bytes] = lambda name, piece: piece
) -> Path:
    manifest = manifest_of(source)
    receiver = Receiver("node 7", stage, manifest)
    try:
        if receiver.begin():
            for name, piece in pieces_of(source, manifest):
                receiver.put(name, change(name, piece))
            receiver.finish()
    finally:
        receiver.abandon()
    return stage / manifest.name


def test_a_copy_is_the_checkpoint_and_is_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PIECE_BYTES", 7)
    source = write_checkpoint(tmp_path / "best", fill=3)
    (source / "empty.txt").touch()
    copy = _copy(source, tmp_path / "stage")
    assert copy.name.startswith("best-")
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    before = {path.name: path.stat().st_ino for path in copy.iterdir()}
    assert _copy(source, tmp_path / "stage") == copy
    assert {path.name: path.stat().st_ino for path in copy.iterdir()} == before
    write_checkpoint(tmp_path / "other" / "best", fill=4)
    assert _copy(tmp_path / "other" / "best", tmp_path / "stage") != copy


@pytest.mark.parametrize(
    "change",
    [
        lambda name, piece: piece.replace(b"Toy", b"Tog"),
        lambda name, piece: piece[:-1] if name.endswith("safetensors") else piece,
    ],
    ids=["other", "cut"],
)
def test_a_copy_that_does_not_match_is_refused_and_nothing_of_it_is_left(
    change: Callable[[str, bytes], bytes], tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "best")
    with pytest.raises(CheckpointError, match=r"on node 7 has SHA-256 [0-9a-f]{12} and not [0-9a-f]{12}"):
        _copy(source, tmp_path / "stage", change)
    assert list((tmp_path / "stage").iterdir()) == []


def test_a_copy_that_was_changed_is_named_and_left_alone(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "best")
    copy = _copy(source, tmp_path / "stage")
    (copy / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=f"config.json of the copy {copy} on node 7 has SHA-256"):
        _copy(source, tmp_path / "stage")
    (copy / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks config\.json"):
        _copy(source, tmp_path / "stage")
    assert (copy / "model.safetensors").exists()


def test_two_copies_at_once_of_one_machine_are_one(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "best")
    manifest = manifest_of(source)
    both = [Receiver("a", tmp_path / "stage", manifest), Receiver("b", tmp_path / "stage", manifest)]
    for receiver in both:
        assert receiver.begin()
        for name, piece in pieces_of(source, manifest):
            receiver.put(name, piece)
    for receiver in both:
        receiver.finish()
    assert [path.name for path in (tmp_path / "stage").iterdir()] == [manifest.name]


def test_a_disk_without_room_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(100, 90, 10)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CheckpointError, match=r"node 7 has 0.0 GB left at .*stage elsewhere"):
        _copy(write_checkpoint(tmp_path / "best"), tmp_path / "stage")
    assert list((tmp_path / "stage").iterdir()) == []


def test_no_checkpoint_to_copy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read checkpoint"):
        manifest_of(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        manifest_of(tmp_path)


def test_a_list_takes_the_place_of_a_list_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "urls.json"
    listing = Listing(path)
    listing.write([{"url": "http://127.0.0.1:1"}])
    inode = path.stat().st_ino
    listing.write([{"url": "http://127.0.0.1:1"}])
    assert path.stat().st_ino == inode  # whoever looks whether it changed is not woken for nothing
    assert b"127.0.0.1:1" in path.read_bytes()
    Listing(path).close()
    assert b"127" not in path.read_bytes()
    for content in ("http://127.0.0.1:30000\n", "[]", '{"servers": 3}'):
        path.write_text(content)
        with pytest.raises(ConfigError, match="holds no list of servers"):
            Listing(path)
        assert path.read_text() == content
    with pytest.raises(ConfigError, match="cannot write the list of servers"):
        Listing(Path("/proc/nowhere/urls.json"))
    assert [each.name for each in path.parent.iterdir()] == ["urls.json"]


def _start(checkpoint: Path, python: Path, tmp_path: Path, **changes: object) -> Start:
    settings = ServerSettings(
        model=checkpoint,
        python=python,
        log_dir=tmp_path / "logs",
        stop_grace_s=1.0,
        startup_timeout_s=60.0,
        api_key="one",
        admin_api_key="two",
    )
    fields = {"weights": Weights(str(checkpoint), "v3"), "host": "127.0.0.1", "port": None, **changes}
    return Start(settings, **fields)  # type: ignore[arg-type]


def test_a_rank_starts_says_what_it_serves_and_stops(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path
) -> None:
    replica = Replica("127.0.0.1")
    hello = replica.hello(str(checkpoint))
    assert hello.sees_model and not replica.hello(str(tmp_path / "nowhere")).sees_model
    assert replica.look() == Look()  # not started: nothing to say
    started = replica.start(_start(checkpoint, stub_python("ok"), tmp_path))
    try:
        assert replica.look().weights == Weights(str(checkpoint), "v3")
        # Another rank of such a server answers nothing, and must live.
        other = Replica("127.0.0.1")
        rank = other.start(
            _start(checkpoint, stub_python("ok"), tmp_path, rank=1, ranks=2, meet=("127.0.0.1", 5000))
        )
        assert (rank.url, other.look().why) == ("", None)
        other.stop()
        assert not exists(rank.pid)
        said = other.look().why
        assert said is not None and said.startswith("exit code")
    finally:
        replica.stop()
    assert not exists(started.pid)


def test_a_start_that_is_stopped_leaves_nothing(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path
) -> None:
    replica, ended = Replica("127.0.0.1"), threading.Event()

    def start() -> None:
        with pytest.raises(ServerStartError, match="cancelled"):
            replica.start(_start(checkpoint, stub_python("silent"), tmp_path))
        ended.set()

    thread = threading.Thread(target=start)
    thread.start()
    logs = tmp_path / "logs"
    until(lambda: any("starting" in path.read_text() for path in logs.glob("*.log")), "the server starts")
    replica.stop()
    thread.join(20)
    assert ended.is_set()


def test_a_port_that_stays_taken_is_given_up_for_another(
    checkpoint: Path, stub_python: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("servers.cluster.replica.PORT_WAIT_S", 0.0)
    monkeypatch.setattr("servers.cluster.replica.PORT_LOOK_S", 0.01)
    first, second = Replica("127.0.0.1"), Replica("127.0.0.1")
    try:
        port = first.start(_start(checkpoint, stub_python("ok"), tmp_path)).port
        again = second.start(_start(checkpoint, stub_python("ok"), tmp_path, port=port))
        assert again.port != port
        first.stop()
        second.stop()
        assert Replica("127.0.0.1")._port("127.0.0.1", port) == port
    finally:
        first.stop()
        second.stop()


def test_why_an_actor_ended_is_the_last_that_ray_says() -> None:
    said = "The actor died in its creation task\n  File ...\nModuleNotFoundError: No module named 'rro_sdk'\n"
    assert last_words(said) == "ModuleNotFoundError: No module named 'rro_sdk'"
