"""What `make docs` built: every link leads somewhere, and nothing is fetched from elsewhere.

    python tests/docs/check_site.py site

The generator's strict mode looks at links from page to page. This looks at what came out: links to any file,
pictures, headings; and styles, scripts and fonts of other hosts, which a page must do without. Standard
library alone, because the documentation's environment has no more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""Elements that a browser fetches by itself. `a` waits for a click."""

NOT_FETCHED = {"canonical", "next", "prev", "alternate"}
"""Kinds of `link` that name a page and load nothing."""

FROM_AFAR = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class _Page(HTMLParser):
    """Attributes: `anchors`, names that a link can have after its #; `links`, whether loaded and where to."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[bool, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append((False, found["href"]))
        elif tag in LOADED and found.get(LOADED[tag]):
            fetched = not (tag == "link" and found.get("rel", "") in NOT_FETCHED)
            self.links.append((fetched, found[LOADED[tag]]))


def faults(site: Path) -> Iterator[str]:
    """One sentence for each thing that is wrong with a built site."""
    pages: dict[Path, _Page] = {}
    for file in sorted(site.rglob("*.html")):
        pages[file] = page = _Page()
        page.feed(file.read_text(encoding="utf-8"))
    if not pages:
        yield f"{site} holds no page"
    for file, page in pages.items():
        where = file.relative_to(site)
        for fetched, link in page.links:
            parts = urlsplit(link)
            if parts.netloc:
                if fetched:
                    yield f"{where} loads {link}"
            elif not parts.scheme and (lost := _lost(site, file, pages, parts.path, unquote(parts.fragment))):
                yield f"{where} links to {link}: {lost}"
    for sheet in sorted(site.rglob("*.css")):
        for address in FROM_AFAR.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(site)} loads {address}"


def _lost(site: Path, file: Path, pages: dict[Path, _Page], path: str, fragment: str) -> str | None:
    """Why a link within the site leads nowhere; None where it leads somewhere."""
    target = file
    if path:
        target = site / unquote(path).lstrip("/") if path.startswith("/") else file.parent / unquote(path)
        target = target.resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file() or not target.is_relative_to(site):
        return "there is no such file"
    if fragment and target in pages and fragment not in pages[target].anchors and fragment != "__top":
        return "there is no such heading"
    return None


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    found = list(faults(site))
    print("\n".join(found) or f"{site.name}: every link leads somewhere, nothing is loaded from elsewhere")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
