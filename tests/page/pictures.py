"""`python -m tests.page.pictures`: the pictures in docs/viewing.md, from runs of `rro sample`.

Needs Chromium, and the fonts Inter and JetBrains Mono to look like those in docs/img.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from rro_sdk.page.server import PageServer
from rro_sdk.page.source import Runs
from servers.fake import FakeServer, FakeSettings, Latency
from tests.conftest import REPOSITORY
from tests.page.browser import chromium
from tests.page.world import reply

IMAGES = REPOSITORY / "docs" / "img"
LIMIT = "36"
RUNS = {
    "rising": ["--early-decision", "--speculate"],
    "rising-by-margin": ["--rule", "margin(0.2)", "--speculate"],
}
TASK = "#/task/loans-004"


async def sample(folder: Path) -> list[Path]:
    """The two runs, made by the command line."""
    settings = FakeSettings(
        reply=reply, model_path="library-small", max_running_requests=12, latency=Latency(0.004, 0.0004)
    )
    async with FakeServer(settings) as one, FakeServer(settings) as other:
        for name, options in RUNS.items():
            servers = ["-s", one.url, "-s", other.url]
            command = ["sample", *servers, "--env", "tests.page.world:suite", "--limit", LIMIT, "--quiet"]
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from rro_sdk.cli import main; main()"),
                *(*command, "--run", str(folder / name), *options),
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdout=asyncio.subprocess.DEVNULL,
            )
            assert await child.wait() == 0
    return [folder / name for name in RUNS]


async def shoot(browser: Browser, url: str, name: str, route: str, ready: str, *, dark: bool = False) -> None:
    """One picture of a view."""
    page = await browser.new_page(
        viewport={"width": 1280, "height": 860}, color_scheme="dark" if dark else "light"
    )
    page.set_default_timeout(120_000)
    await page.goto(url + route)
    await page.wait_for_selector(ready)
    await page.evaluate("document.fonts.ready.then(() => 1)")
    IMAGES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=IMAGES / f"page-{name}.png", animations="disabled")
    await page.close()


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rro-pictures-") as name:
        folders = await sample(Path(name))
        async with async_playwright() as player:
            browser = await player.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            drawn = ".canvas svg"
            with Runs(folders[:1]) as runs:
                async with PageServer(runs) as server:
                    await shoot(browser, server.url, "summary", "#/", "text=Servers over time")
                    await shoot(browser, server.url, "tasks", "#/tasks", "table.tasks")
                    await shoot(browser, server.url, "trajectory", TASK, drawn)
                    await shoot(browser, server.url, "dark", f"{TASK}?step=2&candidate=0", drawn, dark=True)
            with Runs(folders) as runs:
                async with PageServer(runs) as server:
                    await shoot(browser, server.url, "compare", TASK, ".pairwise .canvas svg")
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
