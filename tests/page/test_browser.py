"""The page in Chromium. One browser and the same two runs for all; every test has a context of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rro_sdk.page.server import PageServer
from rro_sdk.page.single_file import write_page
from rro_sdk.page.source import Runs
from tests.conftest import missing
from tests.page.browser import Watched, axe, chromium
from tests.page.hostile import EVIL, hostile_run, task_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

TASK = "#/task/loans-001"
IN_TASK = "main[data-view=task]:not([aria-busy]) .candidate"
IN_TABLE = "main[data-view=tasks]:not([aria-busy]) #count"


class Site:
    """One browser, and the pages that it looks at: of a run, of two, of a hostile one, and as a file."""

    def __init__(self, browser: Any, one: str, two: str, hostile: str, file: str, evil_file: str) -> None:
        self.browser, self.one, self.two = browser, one, two
        self.hostile, self.file, self.evil_file = hostile, file, evil_file

    @asynccontextmanager
    async def page(self, init: Path | None = None, **settings: Any) -> AsyncIterator[Watched]:
        """A page in a context of its own; at its end nothing may have been complained of."""
        context = await self.browser.new_context(**settings)
        try:
            if init is not None:
                await context.add_init_script(path=init)
            watched = Watched(await context.new_page())
            yield watched
            assert watched.complaints == []
        finally:
            await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(two_runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    program = chromium()
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing("playwright", "it is in the extra dev")
    folder = tmp_path_factory.mktemp("page")
    evil = hostile_run(folder / "evil")
    async with AsyncExitStack() as stack:
        urls = []
        for folders in ([two_runs[0]], list(two_runs), [evil]):
            runs = stack.enter_context(Runs(folders))
            urls.append((await stack.enter_async_context(PageServer(runs))).url)
            if folders != list(two_runs):
                write_page(runs, folder / f"{folders[0].name}.html", most=5)
        player = await stack.enter_async_context(async_playwright())
        browser = await player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        stack.push_async_callback(browser.close)
        files = [(folder / f"{name}.html").as_uri() for name in ("rising", "evil")]
        yield Site(browser, *urls, *files)


async def texts(page: Any, selector: str) -> list[str]:
    found: list[str] = await page.locator(selector).all_inner_texts()
    return found


async def test_the_summary_has_the_runs_numbers_and_every_plot(site: Site, run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    async with site.page() as watched:
        page = watched.page
        await watched.go(site.one)
        await page.wait_for_selector("text=Servers over time")
        told = dict(
            zip(await texts(page, ".headline dt"), await texts(page, ".headline dd strong"), strict=True)
        )
        assert told["candidates per step"] == f"{summary['candidates_per_step']:.2f}"
        assert told["pairs"] == str(summary["pairs"])
        assert f"better: {summary['candidates_per_step_null']:.2f}" in (await texts(page, ".headline dd"))[0]
        assert await texts(page, "figcaption h2") == [
            *("Reward by step", "Candidates against the null", "Rising share by thirds"),
            *("Cost by kind", "Servers over time"),
        ]
        assert await page.locator("figure svg.plot").count() == 5
        await page.locator("figure summary").nth(1).click()
        rows = await texts(page, "figure:nth-of-type(2) tbody tr")
        null = f"{summary['candidates_per_step_null']:.2f}"
        assert rows[0].split() == ["all", f"{summary['candidates_per_step']:.2f}", null]
        assert await page.locator("figure:nth-of-type(2) svg.plot .full").count() == len(rows)


async def test_what_waits_for_the_journal_says_so_and_the_numbers_do_not_wait(site: Site) -> None:
    read = asyncio.Event()

    async def hold(route: Any) -> None:
        await read.wait()
        await route.continue_()

    async def tell(route: Any) -> None:
        await route.fulfill(json={"read": 3, "recorded": 9})

    async with site.page() as watched:
        page = watched.page
        await page.route("**/api/progress?*", tell)
        await page.route("**/api/figures?*part=early", _without_plots)
        await page.route("**/api/figures?*part=decisions", hold)
        await page.goto(site.one)
        await page.wait_for_selector("text=Reading the journal: 3 of 9 events")
        assert await page.locator(".headline strong").count() == 5
        assert await page.locator("text=Reward by step").count() == 0
        read.set()
        await page.wait_for_selector("text=Reward by step")
        assert await page.locator("progress").count() == 0


async def _without_plots(route: Any) -> None:
    answer = await route.fetch()
    await route.fulfill(json={**await answer.json(), "plots": None, "use": None, "ready": False})


async def test_tasks_are_searched_filtered_sorted_and_opened_by_keys(site: Site) -> None:
    async with site.page() as watched:
        page = watched.page
        await watched.go(site.one)
        await page.keyboard.press("2")
        await page.wait_for_selector(IN_TABLE)
        assert await page.locator("#count").inner_text() == "1 to 9 of 9 tasks"
        await page.keyboard.press("/")
        await page.keyboard.type("which members")
        await page.wait_for_selector("text=1 to 3 of 3 tasks")
        assert await page.evaluate("document.activeElement.id") == "search"
        assert {"loans-001", "loans-004", "loans-007"} == set(await texts(page, ".task-id"))
        await page.get_by_role("button", name="Candidates").click()
        await page.wait_for_selector("th[aria-sort=descending]")
        drawn = [int(text) for text in await texts(page, "tbody td:nth-child(5)")]
        assert drawn == sorted(drawn, reverse=True)
        await page.select_option("#filter-state", "open")
        await page.wait_for_selector("text=No task is like that")
        await page.go_back()
        await page.wait_for_selector("text=1 to 3 of 3 tasks")
        first = (await texts(page, ".task-id"))[0]
        for key in ("j", "j", "k", "Enter"):
            await page.keyboard.press(key)
        await page.wait_for_selector(IN_TASK)
        assert await page.locator("h1").inner_text() == first
        await page.keyboard.press("Escape")
        await page.wait_for_selector(IN_TABLE)


async def test_a_trajectory_is_walked_read_and_its_pair_compared(site: Site, runs: Runs) -> None:
    (view,) = runs.task("loans-001").trajectories
    assert view is not None
    async with site.page() as watched:
        page = watched.page
        await watched.go(site.one + TASK, IN_TASK)
        assert await page.locator(".step").count() == len(view.steps)
        words = await texts(page, ".candidate .words")
        assert words == [each.words for step in view.steps for each in step.candidates]
        assert await texts(page, ".verdict b") == [step.verdict for step in view.steps]
        strip = await page.locator(".candidate svg.strip").first.get_attribute("aria-label")
        assert strip is not None
        outcomes = [rollout.outcome for rollout in view.steps[0].candidates[0].estimate.rollouts]
        assert strip == f"outcomes {', '.join(f'{o:g}' if o in (0, 1) else f'{o:.2f}' for o in outcomes)}"
        assert await page.locator("g.node").count() == len(words)

        await page.locator(".candidate").first.click()
        first = view.steps[0].candidates[0]
        assert await page.locator(".inspector pre").first.inner_text() == first.text
        await page.locator(".inspector details.rollout summary").first.click()
        said = page.locator(".inspector details.rollout .message pre").first
        await said.wait_for()
        where = first.estimate.rollouts[0].where
        (replies,) = runs.replies(0, "loans-001", where).values()
        assert await said.inner_text() == replies[0].text

        await page.keyboard.press("j")
        current = page.locator(".candidate[aria-current]")
        assert await current.get_attribute("data-place") == _places(view.steps)[1]
        await page.keyboard.press("l")
        assert "step=" in page.url

        paired = next(at for at, step in enumerate(view.steps) if step.pair_id)
        await page.locator(f".step[data-step='{paired}'] .candidate").first.click()
        await page.keyboard.press("d")
        await page.wait_for_selector(".diff")
        sides = {mark: each for each in view.steps[paired].candidates for mark in each.marks}
        left, right, *_ = await texts(page, ".diff pre")
        assert (left, right) == (sides["chosen"].text, sides["rejected"].text)
        assert await page.locator(".diff del").count() > 0
        assert await page.locator(".diff ins").count() > 0
        await page.reload()
        await page.wait_for_selector(".diff")
        await page.keyboard.press("n")
        await page.wait_for_selector("h1:not(:text('loans-001'))")


def _places(steps: Sequence[Any]) -> list[str]:
    return [f"0.{at}.{each.index}" for at, step in enumerate(steps) for each in step.candidates]


async def test_dark_and_light_follow_the_system_until_they_are_chosen(site: Site) -> None:
    def bright(colour: str) -> bool:
        return int(colour.removeprefix("rgb(").split(",")[0]) > 128

    background = "getComputedStyle(document.body).backgroundColor"
    async with site.page(color_scheme="dark") as watched:
        page = watched.page
        await watched.go(site.one)
        seen = [bright(await page.evaluate(background))]
        for _ in range(3):
            await page.keyboard.press("t")
            seen.append(bright(await page.evaluate(background)))
        await page.keyboard.press("t")
        await watched.go(site.one)
        seen.append(bright(await page.evaluate(background)))
        assert seen == [False, True, False, False, True]


async def test_two_runs_stand_side_by_side(site: Site) -> None:
    async with site.page() as watched:
        page = watched.page
        await watched.go(site.two)
        await page.wait_for_selector("text=Servers over time, B")
        assert await texts(page, ".compared thead th") == ["A rising", "B short", "B − A"]
        assert await page.locator("figure:first-of-type svg.plot rect.full").count() > 0
        await watched.view("#/tasks", IN_TABLE)
        assert "not in it" in (await page.locator("tr", has_text="loans-008").inner_text())
        await page.check("#differ")
        await page.wait_for_selector("#count:not(:text('of 9 tasks'))")
        signs = await texts(page, "tbody td:nth-child(4)")
        assert "=" not in signs
        await watched.view(TASK, IN_TASK)
        assert await page.locator(".pairwise section").count() == 2
        assert await page.locator(".differs").count() == 2
        await page.locator(".pairwise section:nth-child(2) .candidate").first.click()
        await page.get_by_role("button", name="A candidate 0").click()
        heads = await texts(page, ".diff-head b")
        assert heads == ["B, step 1, candidate 0", "A, step 1, candidate 0"]
        await page.keyboard.press("Escape")
        await page.wait_for_selector(".diff", state="detached")


async def test_a_single_file_opens_from_disk_without_a_network(site: Site) -> None:
    async with site.page(offline=True) as watched:
        page = watched.page
        await watched.go(site.file)
        await page.wait_for_selector("text=Servers over time")
        await watched.view("#/tasks?q=which+members", "text=1 to 3 of 3 tasks")
        await watched.view("#/tasks", "text=1 to 9 of 9 tasks")
        ids = await texts(page, ".task-id")
        kept = [ids[at * 9 // 5] for at in range(5)]
        await watched.view(f"#/task/{kept[1]}", IN_TASK)
        await page.locator(".candidate").first.click()
        await page.locator(".inspector details summary").first.click()
        await page.wait_for_selector(".inspector .message pre")
        await page.keyboard.press("n")
        await page.wait_for_selector(f"h1:text('{kept[2]}')")
        left_out = next(each for each in ids if each not in kept)
        await watched.view(f"#/task/{left_out}", "text=this file holds the trajectories of 5 tasks")
        assert [url for url in watched.asked if not url.startswith("data:")] == [site.file]


async def test_no_text_runs_as_script(site: Site) -> None:
    for start in (site.hostile, site.evil_file):
        async with site.page() as watched:
            page = watched.page
            await watched.go(start)
            await page.wait_for_selector("text=Servers over time")
            await watched.view("#/tasks", IN_TABLE)
            assert task_id("one") in await page.locator(".task-id").all_text_contents()
            await page.locator("a.task", has_text="one/..").first.click()
            await page.wait_for_selector(IN_TASK)
            await page.keyboard.press("d")
            await page.wait_for_selector(".diff")
            await page.keyboard.press("j")
            await page.wait_for_selector(".inspector .facts")
            for summary in await page.locator(".inspector summary").all():
                await summary.click()
            shown = await page.locator(".inspector pre").all_text_contents()
            assert sum(EVIL in text for text in shown) >= 5
            assert (await page.title()).startswith("one/../?q=1&x#%2e%00</script>")
            assert await page.evaluate("window.pwned ?? 0") == 0
            assert await page.locator("main :is(script, img, iframe, style, b > b)").count() == 0
            tried = await page.evaluate(
                "() => { try { document.body.innerHTML = '<b>x</b>' } catch (error) { return error.name } }"
            )
            assert tried == "TypeError"
            watched.complaints = [each for each in watched.complaints if "TrustedHTML" not in each]


async def test_the_file_chooses_rows_as_the_server_does(site: Site) -> None:
    queries = [
        {"sort": sort, "down": down, **more}
        for sort in ("position", "id", "outcome", "outcome_b", "difference", "last", "pairs_b")
        for down in (True, False)
        for more in ({}, {"q": "WHICH "}, {"outcome": "partial"}, {"differ": True}, {"pairs": "no"})
    ]
    async with site.page() as watched:
        await watched.go(site.two)
        differ = await watched.page.evaluate(
            """async (queries) => {
                const { select } = await import("/static/source.js");
                const blank = { q: "", state: "", outcome: "", pairs: "", verdict: "", differ: false };
                const address = (query) => `/api/tasks?${new URLSearchParams({ ...query, limit: 500 })}`;
                const ask = async (query) => (await (await fetch(address(query))).json()).rows;
                const ids = (rows) => JSON.stringify(rows.map(([a, b]) => (a ?? b).id));
                const all = await ask({});
                const found = await Promise.all(queries.map(async (query) =>
                    [query, ids(await ask(query)), ids(select(all, { ...blank, ...query }))]));
                return found.filter(([, theirs, ours]) => theirs !== ours);
            }""",
            queries,
        )
    assert differ == []


async def test_every_view_is_accessible_and_fits_a_telephone(site: Site) -> None:
    views = [
        ("#/", "text=Servers over time"),
        ("#/tasks", IN_TABLE),
        (TASK, IN_TASK),
    ]
    grave: list[str] = []
    for scheme, start in (("light", site.one), ("dark", site.two)):
        async with site.page(axe(), color_scheme=scheme) as watched:
            page = watched.page
            await watched.go(start)
            for route, ready in views:
                await watched.view(route, ready)
                grave += [f"{scheme} {route} {each}" for each in await _grave(page)]
            await page.locator(".compare-pair").first.click()
            await page.wait_for_selector(".diff")
            grave += [f"{scheme} diff {each}" for each in await _grave(page)]
            await page.keyboard.press("?")
            await page.wait_for_selector("dialog[open]")
            grave += [f"{scheme} keys {each}" for each in await _grave(page)]
    assert grave == []
    async with site.page(viewport={"width": 390, "height": 800}) as watched:
        await watched.go(site.one)
        for route, ready in views:
            await watched.view(route, ready)
            wide = await watched.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, route


async def _grave(page: Any) -> list[str]:
    """What axe-core finds serious or critical, each with the first element."""
    asked = "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in await page.evaluate(asked)
        if each["impact"] in ("serious", "critical")
    ]
