"""The reference has every public name, once; a page that is there can be found in the navigation."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

import rro_sdk
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
DIRECTIVE = re.compile(r"^::: rro_sdk\.(\w+)$", re.MULTILINE)


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    found = Counter(name for page in pages for name in DIRECTIVE.findall(page))
    assert [name for name, times in found.items() if times > 1] == []
    assert set(found) - {"errors"} == set(rro_sdk.__all__)


@pytest.mark.parametrize("name", sorted(rro_sdk.__all__))
def test_every_public_name_says_what_it_is(name: str) -> None:
    if name in ("Decision", "NoPairReason"):
        return  # unions of types; their text stands below the assignment, where only a parser finds it
    assert (getattr(rro_sdk, name).__doc__ or "").strip()


def test_the_navigation_has_every_page_and_no_other() -> None:
    """A page that nobody can find from the navigation might as well not be there."""
    tree = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))

    def pages(entries: list[dict[str, object]]) -> list[str]:
        found: list[str] = []
        for entry in entries:
            for target in entry.values():
                found += pages(target) if isinstance(target, list) else [str(target)]
        return found

    there = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(pages(tree["nav"])) == sorted(there)


def test_every_link_to_a_file_leads_to_one() -> None:
    """Also in README.md, which the site does not have. Headings are looked at where the site is built."""
    for page in (REPOSITORY / "README.md", *DOCS.rglob("*.md")):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        targets = re.findall(r"\]\(([^)#\s]+)", prose)
        files = [target for target in targets if "://" not in target]
        assert [target for target in files if not (page.parent / target).exists()] == [], page


def test_every_page_begins_with_its_title_and_a_sentence() -> None:
    for page in DOCS.rglob("*.md"):
        lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]
        assert lines[0].startswith("# "), page
        begins = lines[1][0].isalpha() or (lines[1][0] in "`[*" and not lines[1].startswith("```"))
        assert begins, f"{page}: the first thing below the title is a sentence that says the page's purpose"
