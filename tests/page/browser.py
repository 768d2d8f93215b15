"""What the tests in a browser need: Chromium, axe-core, and a page that reports what should not happen."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, missing

AXE = REPOSITORY / ".browser" / "package" / "axe.min.js"

NAMES = ("chromium", "chromium-browser", "google-chrome")

DEADLINE_MS = 60_000
"""For anything to appear: milliseconds, but on a machine that is given away to others it can be a minute."""


def chromium() -> str:
    """Path of the system's Chromium."""
    return next(filter(None, map(shutil.which, NAMES)), None) or missing(
        "Chromium", "`make browser` installs it"
    )


def axe() -> Path:
    """axe-core, unpacked by the Makefile."""
    return AXE if AXE.is_file() else missing("axe-core", "`make browser` fetches it")


class Watched:
    """A page, with all that it asked for and complained of.

    Attributes:
        page: playwright's.
        asked: every URL that was requested.
        complaints: console errors, uncaught errors, dialogs.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.set_default_timeout(DEADLINE_MS)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.on("dialog", self._dialog)

    async def go(self, url: str, ready: str = "main:not([aria-busy]) h1") -> None:
        """Open an address and wait until its view is there."""
        await self.page.goto(url)
        await self.page.wait_for_selector(ready)

    async def view(self, route: str, ready: str) -> None:
        """Go to a view of the page that is open."""
        await self.page.evaluate("route => { location.hash = route }", route)
        await self.page.wait_for_selector(ready)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    async def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()
