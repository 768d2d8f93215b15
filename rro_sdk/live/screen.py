"""Where a live view is shown: redrawn in place on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.text import Text

from rro_sdk.live.render import line, page
from rro_sdk.live.status import TELL_S
from rro_sdk.live.view import View

LINE_EVERY_S = 10.0


class Screen:
    """Shows views on a console, from `with` to its end. One thread uses it.

    What else is printed to the terminal meanwhile appears above the view. The cursor is never hidden, so
    that a process that is killed leaves a terminal as it should be.

    Args:
        console: where; its width and height are asked for each time.
        page_only: draw the whole page where it is no terminal too, once for each view.
    """

    def __init__(self, console: Console, *, page_only: bool = False) -> None:
        self._console = console
        self._page_only = page_only
        self._live: Live | None = None
        self._size = console.size
        self._shown_at: float | None = None
        self._line = ""

    @property
    def redraws(self) -> bool:
        """Whether it is a terminal on which a view can be drawn over the last one."""
        return self._console.is_terminal and not self._console.is_dumb_terminal and not self._page_only

    @property
    def every_s(self) -> float:
        """How often there is something to show."""
        return TELL_S if self.redraws else LINE_EVERY_S

    def __enter__(self) -> Self:
        if self.redraws:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                # rich would send what is written to a file to the terminal as well.
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
                vertical_overflow="crop",
            )
            self._live.start()
            self._console.show_cursor(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, view: View, *, last: bool = False) -> None:
        """Draw the view. `last`: there is none after it.

        Raises:
            OSError: the terminal is gone.
        """
        if self._live is not None:
            size = self._console.size
            if size != self._size:  # lines of another width have been broken by the terminal
                self._console.control(Control.clear(), Control.home())
                self._size = size
            self._live.update(self._page(view, size.height - 1), refresh=True)
        elif self._page_only:
            self._console.print(self._page(view, None), highlight=False, soft_wrap=True)
        elif last or self._shown_at is None or time.monotonic() - self._shown_at >= LINE_EVERY_S:
            self._shown_at = time.monotonic()
            if (text := line(view)) != self._line:
                self._console.print(text, highlight=False, markup=False, soft_wrap=True)
            self._line = text

    def _page(self, view: View, height: int | None) -> _Page:
        ascii_only = self._console.options.ascii_only
        return _Page(page(view, self._console.width, height=height, ascii_only=ascii_only))


class _Page:
    """Lines as they are: none is too long, and rich would take as long again to find that out."""

    def __init__(self, lines: Sequence[Text]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for text in self._lines:
            yield from text.render(console, end="\n")
