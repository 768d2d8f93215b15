"""Shows a run beside the sampler that is writing it, in a thread that cannot hold the sampler up.

The thread reads the run's folder as another process would, so the view is that of `rro watch`. It writes
to the terminal alone and nobody waits for it: a terminal that is stopped stops the view and nothing else.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from rro_sdk.errors import ConfigError, JournalError
from rro_sdk.live.reader import RunReader
from rro_sdk.live.screen import Screen
from rro_sdk.live.status import Ended, ended_by

BUDGET_S = 0.02
"""Of reading a second, most of which SQLite does without Python's lock: a journal that grows by a hundred
steps a second takes less."""

LAST_WORD_S = 3.0
"""For the last view, at the end; a terminal that does not take it by then is left alone."""


class ViewBeside:
    """Shows the run in a folder from `with` to its end, as soon as it is there.

    Args:
        run_dir: where the sampler writes.
        console: where to show it.

    Attributes:
        spent_s: CPU seconds that the view took; 0 until it has ended.
    """

    def __init__(self, run_dir: Path, console: Console) -> None:
        self.spent_s = 0.0
        self._dir = run_dir
        self._screen = Screen(console)
        self._ended = threading.Event()
        self._how: Ended = "finished"
        self._thread = threading.Thread(target=self._run, name="rro-view", daemon=True)

    def __enter__(self) -> Self:
        self._streams = sys.stdout, sys.stderr
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._how = ended_by(error)
        self._ended.set()
        self._thread.join(LAST_WORD_S)
        if self.alive:
            sys.stdout, sys.stderr = self._streams

    @property
    def alive(self) -> bool:
        """Whether the view is still being shown, or still waits for its terminal."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._show()
        except (OSError, JournalError):
            return  # the terminal is gone, or the journal: the sampler says what there is to say
        finally:
            self.spent_s = time.thread_time()

    def _show(self) -> None:
        reader = self._reader()
        if reader is None:
            return
        with reader, self._screen as screen:
            while not self._ended.wait(screen.every_s):
                screen.show(reader.look())
            screen.show(reader.look_at_all(LAST_WORD_S / 2, phase=self._how), last=True)

    def _reader(self) -> RunReader | None:
        """The run's, as soon as it has begun; None where it never does."""
        while True:
            try:
                return RunReader(self._dir, budget_s=BUDGET_S)
            except (ConfigError, JournalError):
                if self._ended.wait(0.2):
                    return None
