"""`python -m tests.newcomer`: a newcomer's way, typed into a terminal, up to the run page in a browser.

A shell under tmux in a clean HOME, in this checkout, which should be a fresh clone: `make quickstart`, a
look from a second terminal while it samples (`rro watch`), then `rro view`, whose address is opened in
Chromium. Every command is one that the README shows; the walk ends where it does not. Leaves pictures of
terminal and page in a folder, runs/newcomer by default. Needs tmux, Chromium and playwright.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from playwright.async_api import async_playwright
from rich.console import Console
from rich.text import Text

from tests.conftest import REPOSITORY
from tests.page.browser import chromium

COLUMNS, LINES = 80, 30
WALK_LIMIT_S = 1800.0
STEP_LIMIT_S = 60.0
LOOK_S = 0.5
RUN = "runs/quickstart/explore"
PROMPT = "newcomer$ "


class Terminal:
    """A shell in a tmux window of its own server, and what it shows."""

    def __init__(self, home: Path, socket: str) -> None:
        self._tmux = ("tmux", "-f", os.devnull, "-L", socket)
        self._home = home

    def __enter__(self) -> Self:
        # Where packages come from is the machine's, not the user's.
        packages = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        clean = {
            **packages,
            "HOME": str(self._home),
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        shell = f"env PS1='{PROMPT}' bash --noprofile --norc"
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        subprocess.run(
            [*self._tmux, "new-session", "-d", *size, "-c", str(REPOSITORY), shell], check=True, env=clean
        )
        self.wait("a prompt", self.idle, STEP_LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)

    def type(self, command: str) -> None:
        """Type a command and Enter; it must stand in the README."""
        if command not in documented():
            raise SystemExit(f"newcomer: the README does not say {command!r}")
        print(f"newcomer: {PROMPT}{command}", flush=True)
        subprocess.run([*self._tmux, "send-keys", "-l", command], check=True)
        subprocess.run([*self._tmux, "send-keys", "Enter"], check=True)

    def interrupt(self) -> None:
        subprocess.run([*self._tmux, "send-keys", "C-c"], check=True)

    def shows(self, colours: bool = False) -> str:
        """The visible lines."""
        flags = ["-e"] if colours else []
        return subprocess.run(
            [*self._tmux, "capture-pane", "-p", *flags], check=True, capture_output=True, text=True
        ).stdout

    def idle(self) -> bool:
        """Whether the shell waits for a command."""
        lines = self.shows().rstrip("\n").splitlines()
        return bool(lines) and lines[-1].rstrip().endswith(PROMPT.strip())

    def wait(self, what: str, there: Callable[[], bool], limit_s: float) -> None:
        """Look until it is there."""
        until = time.monotonic() + limit_s
        while not there():
            if time.monotonic() > until:
                raise SystemExit(
                    f"newcomer: no {what} within {limit_s:.0f} s; the terminal shows\n{self.shows()}"
                )
            time.sleep(LOOK_S)

    def picture(self, path: Path) -> None:
        """What it shows, as SVG."""
        console = Console(width=COLUMNS, record=True, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
        console.print(Text.from_ansi(self.shows(colours=True).rstrip("\n")))
        console.save_svg(str(path), title="rro watch")


def documented() -> set[str]:
    """Every command line in the README, without its comment, for the quickstart's run."""
    found = set()
    text = (REPOSITORY / "README.md").read_text()
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            found.update(part.strip() for part in line.partition(" #")[0].split(" && "))
    return found


def walk(folder: Path) -> str:
    """Type the way, and say the heading of the page that it leads to."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="newcomer-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        with (
            Terminal(home, f"newcomer-{os.getpid()}-1") as first,
            Terminal(home, f"newcomer-{os.getpid()}-2") as second,
        ):
            began, since = time.monotonic(), time.time()
            first.type("make quickstart")
            journal = REPOSITORY / RUN / "journal.sqlite"  # an earlier quickstart's may still be there

            def begun() -> bool:
                return journal.exists() and journal.stat().st_ctime > since

            first.wait("run to watch", lambda: begun() or first.idle(), WALK_LIMIT_S)
            if not begun():
                raise SystemExit(
                    f"newcomer: `make quickstart` ended early; the terminal shows\n{first.shows()}"
                )
            second.type(". .venv/bin/activate")
            second.type(f"rro watch {RUN}")
            second.wait("live view", lambda: "candidates" in second.shows(), STEP_LIMIT_S)
            second.picture(folder / "newcomer-watch.svg")
            first.wait("end of the quickstart", first.idle, WALK_LIMIT_S)
            print(f"newcomer: quickstart took {time.monotonic() - began:.0f} s", flush=True)
            print(first.shows().rstrip(), flush=True)
            second.wait("end of the watch", second.idle, STEP_LIMIT_S)
            second.type(f"rro view {RUN}")
            second.wait("address", lambda: address(second.shows()) is not None, STEP_LIMIT_S)
            url = address(second.shows())
            assert url is not None
            title = asyncio.run(look(url, folder / "newcomer-page.png"))
            second.interrupt()
            second.wait("prompt after Ctrl-C", second.idle, STEP_LIMIT_S)
            return title


def address(text: str) -> str | None:
    """The last address that the terminal shows."""
    found = re.findall(r"http://127\.0\.0\.1:\d+/?\S*", text)
    return found[-1] if found else None


async def look(url: str, picture: Path) -> str:
    """Open the page as a browser does, take its picture, and say its heading."""
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(STEP_LIMIT_S * 1000)
        await page.goto(url)
        await page.wait_for_selector("main:not([aria-busy]) h1")
        await page.wait_for_selector("main svg")
        heading = await page.inner_text("main h1")
        await page.screenshot(path=picture, animations="disabled")
        await browser.close()
    return heading


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=REPOSITORY / "runs" / "newcomer", help="folder of the pictures"
    )
    given = parser.parse_args()
    if shutil.which("tmux") is None:
        print("newcomer: tmux is missing; install it")
        return 2
    began = time.monotonic()
    heading = walk(given.out)
    print(f"newcomer: from make quickstart to the page {heading!r} in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
