"""The picture in docs/watching.md: made of a run, of today's layout, and whole without a network."""

from __future__ import annotations

import html
import re

from tests.conftest import REPOSITORY
from tests.live.picture import COLUMNS, picture, take
from tests.live.test_render import SEEN

PICTURE = REPOSITORY / "docs" / "img" / "live.svg"


def labels(svg: str) -> set[str]:
    """The first words of its lines."""
    texts = [html.unescape(text).replace("\xa0", " ") for text in re.findall(r"<text[^>]*>(.*?)</text>", svg)]
    return {text.split()[0] for text in texts if text.strip()}


KEPT = {"tasks", "server", "all", "candidates", "steps", "pairs", "no", "rollouts", "generated", "went"}


def test_the_stored_picture_is_of_todays_layout_and_asks_for_nothing() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    assert labels(picture(SEEN)) & KEPT == labels(svg) & KEPT == KEPT
    assert "@font-face" not in svg
    assert not re.search(r"(?:href|src|url\()\s*=?\s*[\"']?https?:", svg)


async def test_a_picture_is_taken_of_a_run_that_is_being_sampled() -> None:
    view = await take(tasks=4, share=0.25)
    assert view.phase == "sampling"
    assert view.tasks.given == 4
    assert view.rollouts > 0
    assert len(view.servers) == 3
    assert "sampling" in picture(view)
    assert COLUMNS == 80
