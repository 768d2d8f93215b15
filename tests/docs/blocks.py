"""The code blocks of a page, with the comments that say how a test is to treat them.

Three comments may stand above a block, and no reader sees them:

    <!-- not run: needs a GPU -->             why no test runs it
    <!-- given: from my_world import env -->  what the page takes for granted; run before the block
    <!-- printed: by the block above -->      what the Python block before it prints, to the letter
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import REPOSITORY

COMMENT = re.compile(r"<!--\s*(not run|given|printed):\s*(.*?)\s*-->", re.DOTALL)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of code.

    Attributes:
        page: its page's path in the repository.
        line: of its first line of code, from 1.
        language: the first word after the fence; empty where there is none.
        code: the text inside, with files in place of the lines that include them.
        not_run: the reason why no test runs it; None where one has to.
        given: Python that runs before it.
        printed: whether it is what the block before it prints.
    """

    page: str
    line: int
    language: str
    code: str
    not_run: str | None = None
    given: str = ""
    printed: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README.md and every page below docs/."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return list(_blocks(page.relative_to(REPOSITORY).as_posix(), MarkdownIt().parse(text)))


def _blocks(page: str, tokens: Iterable[Token]) -> Iterator[Block]:
    comments: dict[str, str] = {}
    for token in tokens:
        if token.type in ("fence", "code_block") and token.map is not None:
            language = token.info.split()[0] if token.info.strip() else ""
            first = token.map[0] + (2 if token.type == "fence" else 1)
            code = INCLUDED.sub(lambda found: (REPOSITORY / found[1]).read_text(), token.content)
            not_run, given = comments.get("not run"), comments.get("given", "")
            yield Block(page, first, language, code, not_run, given, "printed" in comments)
        if token.type == "html_block":
            comments |= dict(COMMENT.findall(token.content))
        else:
            comments = {}
