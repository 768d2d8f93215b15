"""What is wrong with a built site is found, and nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.docs.check_site import faults

GOOD = {
    "index.html": '<h1 id="top">A</h1><a href="how/b.html#part">b</a><a href="https://example.org">far</a>',
    "how/b.html": '<h2 id="part">B</h2><a href="../">up</a><img src="../c.png"><a href="#part">here</a>',
    "c.png": "",
    "style.css": "a { background: url(c.png) }",
}


def wrong(folder: Path, **changed: str) -> list[str]:
    for name, text in (GOOD | {name.replace("__", "."): text for name, text in changed.items()}).items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    return list(faults(folder))


def test_a_whole_site_has_no_faults(tmp_path: Path) -> None:
    assert wrong(tmp_path) == []


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    page = '<a href="gone.md">x</a><a href="how/b.html#gone">x</a><img src="no.png"><a href="../out.py">x</a>'
    assert wrong(tmp_path, index__html=page) == [
        "index.html links to gone.md: there is no such file",
        "index.html links to how/b.html#gone: there is no such heading",
        "index.html links to no.png: there is no such file",
        "index.html links to ../out.py: there is no such file",
    ]


def test_what_comes_from_other_hosts(tmp_path: Path) -> None:
    page = '<link rel="canonical" href="https://example.org/"><script src="https://cdn.example.org/a.js"></script>'
    assert wrong(tmp_path, index__html=page, style__css="@import '//fonts.example.org/b.css';") == [
        "index.html loads https://cdn.example.org/a.js",
        "style.css loads //fonts.example.org/b.css",
    ]


def test_an_empty_folder_is_no_site(tmp_path: Path) -> None:
    assert list(faults(tmp_path)) == [f"{tmp_path} holds no page"]
