"""Shared folders of both kinds: whole files, logs by commits, and storage that fails for a while."""

from __future__ import annotations

import errno
import pickle
import threading
from pathlib import Path

import pytest

from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.errors import ConfigError, JournalError


@pytest.fixture(params=["path", "memory"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedFolder:
    url = str(tmp_path / "shared") if request.param == "path" else f"memory://{tmp_path.name}"
    return SharedFolder(url, patience_s=30.0)


def test_files_are_whole_and_exclusive_ones_are_made_once(shared: SharedFolder, tmp_path: Path) -> None:
    assert shared.names("a") == [] and shared.get("a/b") is None
    shared.put("a/b", b"1")
    shared.put("a/b", b"2")
    assert shared.get("a/b") == b"2"
    assert [shared.create("a/c", data) for data in (b"x", b"y")] == [True, False]
    assert shared.get("a/c") == b"x" and shared.names("a") == ["b", "c"]
    local, back = tmp_path / "local", tmp_path / "back"
    local.write_bytes(b"\x00" * 3_000_000 + b"end")
    shared.put_file("a/d", local)
    assert shared.get_file("a/d", back) and back.read_bytes() == local.read_bytes()
    assert not shared.get_file("a/e", back)
    shared.remove("a/b", "a/missing")
    assert shared.names("a") == ["c", "d"]


def test_a_log_is_its_commits_in_order(shared: SharedFolder) -> None:
    shared.put("a/0.open", b"{}")
    log = shared.writer("a/0.log")
    assert shared.log("a/0.log") == []
    for number in range(12):
        log.append(b"%d" % number)
    assert shared.log("a/0.log") == [b"%d" % number for number in range(12)]
    again = pickle.loads(pickle.dumps(shared))
    if not shared.url.startswith("memory"):
        assert again.log("a/0.log") == shared.log("a/0.log")
    shared.remove("a/0.log")
    assert shared.log("a/0.log") == [] and shared.names("a") == ["0.open"]


class Failing:
    """A backend that fails until it is mended, half-way through every append."""

    def __init__(self, shared: SharedFolder) -> None:
        self.works, self.refused = threading.Event(), threading.Event()
        self._backend = shared._backend
        shared._backend = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> object:
        def call(*arguments: object) -> object:
            if not self.works.is_set():
                if name == "append":
                    log, number, at, data = arguments
                    assert isinstance(data, bytes)
                    self._backend.append(log, number, at, data[: len(data) // 2])  # type: ignore[arg-type]
                self.refused.set()
                raise OSError(errno.EIO, "Input/output error")
            return getattr(self._backend, name)(*arguments)

        return call


def test_what_was_cut_by_a_failure_is_written_again_when_storage_is_back(shared: SharedFolder) -> None:
    shared.put("a/0.open", b"{}")
    log = shared.writer("a/0.log")
    log.append(b"before")
    failing = Failing(shared)
    writing = threading.Thread(target=log.append, args=(b"while it failed",))
    writing.start()
    assert failing.refused.wait(20)
    failing.works.set()
    writing.join(20)
    log.append(b"after")
    assert shared.log("a/0.log") == [b"before", b"while it failed", b"after"]


def test_who_gives_up_waits_no_more_and_the_folder_is_named(shared: SharedFolder) -> None:
    Failing(shared)
    shared.give_up()
    with pytest.raises(JournalError, match=f"{shared.url} does not work .*; mend it"):
        shared.put("a", b"")
    assert shared.try_out("b") is not None


def test_a_first_look_waits_for_no_storage(shared: SharedFolder) -> None:
    shared.put("a", b"1")
    assert shared.read_now("a") == (b"1", "") and shared.read_now("b") == (None, "")
    Failing(shared)
    assert shared.read_now("a") == (None, "Input/output error")


def test_a_folder_that_is_not_mounted_is_waited_for_and_never_taken_for_an_empty_one(tmp_path: Path) -> None:
    shared = SharedFolder(str(tmp_path / "shared"), patience_s=30.0)
    shared.put("drivers/1", b"token")
    shared.anchor("drivers/1")
    shared.put("a/0.open", b"{}")
    log = shared.writer("a/0.log")
    log.append(b"before")
    mounted = (tmp_path / "shared").rename(tmp_path / "away")
    (tmp_path / "shared").mkdir()  # the mount point
    done: list[object] = []
    waiting = [
        threading.Thread(target=lambda: done.append(shared.names("a"))),
        threading.Thread(target=lambda: done.append(log.append(b"after"))),
        threading.Thread(target=lambda: done.append(shared.put("b/1", b"1"))),
    ]
    for each in waiting:
        each.start()
    for each in waiting:
        each.join(0.3)
    assert done == [] and list((tmp_path / "shared").iterdir()) == []
    (tmp_path / "shared").rmdir()
    mounted.rename(tmp_path / "shared")
    for each in waiting:
        each.join(20)
    assert len(done) == 3 and shared.log("a/0.log") == [b"before", b"after"] and shared.get("b/1") == b"1"


def test_a_file_system_without_hard_links_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*names: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", link)
    with pytest.raises(ConfigError, match=f"{tmp_path} is on a file system without hard links"):
        SharedFolder(str(tmp_path)).create("a", b"1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"), [("here/there", "absolute path"), ("nosuch://x/y", "cannot be used")]
)
def test_a_folder_that_cannot_be_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SharedFolder(url)
