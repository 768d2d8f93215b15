"""The view on a real pseudo-terminal: drawn in place, left as it was, never waited for."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import msgspec
import pytest
from rich.console import Console, ConsoleDimensions

from rro_sdk.journal import Journal
from rro_sdk.live import beside, screen
from rro_sdk.live.beside import ViewBeside
from rro_sdk.live.screen import Screen
from rro_sdk.types import TaskEnd
from tests.live.events import HEADER
from tests.live.test_render import SEEN

CLEAR = "\x1b[2J"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A pseudo-terminal: what is written to `file` is read by a thread, unless it is stopped."""

    def __init__(self, *, stopped: bool = False) -> None:
        self._ours, theirs = pty.openpty()
        self.file: TextIO = os.fdopen(theirs, "w", encoding="utf-8")
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        if not stopped:
            self._reader.start()

    def console(self) -> Console:
        return Console(
            file=self.file, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm-256color"}
        )

    def hang_up(self) -> None:
        """The terminal goes away, as when its window is closed."""
        os.close(self._ours)

    def close(self) -> str:
        """Everything that was written."""
        with suppress(OSError):
            self.file.close()
        if self._reader.is_alive():
            self._reader.join(5)
        return self._said.decode()

    def _read(self) -> None:
        with suppress(OSError):  # the other end was closed
            while piece := os.read(self._ours, 65536):
                self._said += piece


def words(said: str) -> str:
    return ESCAPE.sub("", said)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    with Journal.create(tmp_path, HEADER) as journal:
        for number in range(4):
            journal.append(TaskEnd(f"q{number}", 1, 1.0, False))
        yield tmp_path


def test_a_view_is_drawn_over_the_last_one_and_the_cursor_stays() -> None:
    terminal = Terminal()
    with Screen(terminal.console()) as shown:
        shown.show(SEEN)
        shown.show(msgspec.structs.replace(SEEN, pairs=432))
    said = terminal.close()
    assert words(said).count("pairs       431") == 1
    assert words(said).count("pairs       432") == 2, "and once more at the end"
    assert "\x1b[1A" in said, "the second is drawn over the first"
    assert CLEAR not in said
    hidden, seen = said.rfind("\x1b[?25l"), said.rfind("\x1b[?25h")
    assert hidden < seen
    assert said.find("\x1b[?25h") < said.find("runs/first"), "a process that is killed leaves it seen"
    assert said.endswith("\n") or "\n" in said[said.rfind("unknown cost") :]


def test_after_a_resize_the_view_is_drawn_anew_at_its_width() -> None:
    terminal = Terminal()
    console = terminal.console()
    with Screen(console) as shown:
        shown.show(SEEN)
        console.size = ConsoleDimensions(60, 12)
        shown.show(SEEN)
    before, clear, after = terminal.close().partition(CLEAR)
    assert clear
    assert CLEAR not in after, "once"
    assert "sampling for 12:34" in words(before)
    rows = [words(row).strip("\r") for row in after.split("\n")]
    assert [len(row) for row in rows[:2]] == [60, 60]
    assert rows[0].startswith("runs/first")
    assert rows[0].endswith("sampling for 12:34")


def test_an_error_within_leaves_the_terminal_as_it_was() -> None:
    terminal = Terminal()
    streams = sys.stdout, sys.stderr
    with pytest.raises(KeyboardInterrupt), Screen(terminal.console()) as shown:
        shown.show(SEEN)
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == streams
    said = terminal.close()
    assert said.rfind("\x1b[?25l") < said.rfind("\x1b[?25h")


def test_where_there_is_no_terminal_there_are_lines() -> None:
    file = io.StringIO()
    with Screen(Console(file=file, width=80)) as shown:
        shown.show(SEEN)
        shown.show(msgspec.structs.replace(SEEN, pairs=432))
        shown.show(msgspec.structs.replace(SEEN, pairs=433), last=True)
        shown.show(msgspec.structs.replace(SEEN, pairs=433), last=True)
    rows = file.getvalue().splitlines()
    assert ["pairs 431" in rows[0], "pairs 433" in rows[1], len(rows)] == [True, True, 2]
    assert "\x1b" not in file.getvalue()


def test_beside_a_sampler_the_view_is_drawn_and_ends_with_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "TELL_S", 0.01)
    terminal = Terminal()
    with ViewBeside(run, terminal.console()):
        pass
    said = words(terminal.close())
    assert "tasks       4 finished   0 set aside" in said
    assert "ended" in said
    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt), ViewBeside(run, terminal.console()):
        raise KeyboardInterrupt
    assert "interrupted" in terminal.close()


def test_a_run_that_never_begins_shows_nothing(tmp_path: Path) -> None:
    terminal = Terminal()
    with ViewBeside(tmp_path / "nothing", terminal.console()):
        pass
    assert terminal.close() == ""


def test_a_terminal_that_is_stopped_is_not_waited_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads it, so it is full after some pages; the block ends all the same, and output works."""
    monkeypatch.setattr(screen, "TELL_S", 0.0)
    monkeypatch.setattr(beside, "LAST_WORD_S", 0.2)
    terminal = Terminal(stopped=True)
    streams = sys.stdout, sys.stderr
    view = ViewBeside(run, terminal.console())
    with view:
        deadline = time.monotonic() + 10
        while not _full(terminal) and time.monotonic() < deadline:
            threading.Event().wait(0.01)
    assert view.alive, "it still waits for the terminal, alone"
    assert (sys.stdout, sys.stderr) == streams
    terminal.hang_up()


def _full(terminal: Terminal) -> bool:
    return not select.select([], [terminal.file], [], 0)[1]


def test_a_terminal_that_goes_away_ends_the_view_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "TELL_S", 0.01)
    terminal = Terminal(stopped=True)
    view = ViewBeside(run, terminal.console())
    with view:
        terminal.hang_up()
        deadline = time.monotonic() + 10
        while view.alive and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert not view.alive
