"""What the tests of pages rest on: blocks and command lines are read right, and wrong ones are found."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.conftest import REPOSITORY
from tests.docs import blocks
from tests.docs.blocks import blocks_of
from tests.docs.shell import Line, fault_of, lines_of, parse_rro

PAGE = """# A page

<!-- given: import math -->
```python
print(math.pi)
```

<!-- printed: by the block above -->
```text
3.14
```

1. In a list:

    <!-- not run: needs a GPU -->
    ```sh
    rro serve
    ```

Words between take a comment's effect away.

<!-- not run: far above -->

Words.

```
no language
```
"""


def test_blocks_have_their_comments_lines_and_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "REPOSITORY", tmp_path)
    (tmp_path / "page.md").write_text(PAGE)
    python, text, sh, bare = blocks_of(tmp_path / "page.md")
    assert (python.language, python.line, python.given, python.code) == (
        "python",
        5,
        "import math",
        "print(math.pi)\n",
    )
    assert (text.language, text.printed, text.given) == ("text", True, "")
    assert (sh.language, sh.not_run, sh.code) == ("sh", "needs a GPU", "rro serve\n")
    assert (bare.language, bare.not_run) == ("", None)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("rro report runs/a   # the numbers", [("rro", "report", "runs/a")]),
        ("rro sample \\\n  --run runs/a", [("rro", "sample", "--run", "runs/a")]),
        ("A=1 B=x rro serve &", [("rro", "serve")]),
        ("make setup && . .venv/bin/activate", [("make", "setup"), (".", ".venv/bin/activate")]),
        ("head -1 a | rro check b > c", [("head", "-1", "a"), ("rro", "check", "b")]),
        ('rro sample --rule "margin(0.2)" -e x=1', [("rro", "sample", "--rule", "margin(0.2)", "-e", "x=1")]),
        ("# nothing but words", []),
    ],
)
def test_command_lines(code: str, found: list[tuple[str, ...]]) -> None:
    assert [line.words for line in lines_of(code)] == found


def test_what_is_left_out_is_noticed() -> None:
    (line,) = lines_of("rro compare --methods rro ...")
    assert line == Line(("rro", "compare", "--methods", "rro"), elided=True)
    assert parse_rro(line) == ("compare",)


@pytest.mark.parametrize(
    "code",
    [
        "rro sampel",
        "rro sample --runs runs/a -s URL",
        "rro sample --run runs/a -s URL --rollouts many",
        "rro sample --run runs/a",
        "rro data synth sql --renamed",
        "rro export runs/a --to trl too-much",
        "rro compare --renamed ...",
    ],
)
def test_command_lines_that_would_be_refused_are_found(code: str) -> None:
    (line,) = lines_of(code)
    with pytest.raises(click.UsageError):
        parse_rro(line)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("make nothing", "the Makefile has no target nothing"),
        ("python -m benchmarks.nothing", "there is no module benchmarks.nothing"),
        ("python examples/nothing.py", "there is no file examples/nothing.py"),
        ("pip install 'rro-sdk[nothing]'", "rro-sdk has no extra nothing"),
        ("pytest tests/nothing.py", "there is no tests/nothing.py"),
        ("teleport home", "no test knows teleport; say above the block why it is not run"),
        ("make quickstart", None),
        ("python -m benchmarks.methods", None),
        ("pip install 'rro-sdk[train]'", None),
    ],
)
def test_other_programs(code: str, fault: str | None) -> None:
    (line,) = lines_of(code)
    assert fault_of(line) == fault


def test_every_page_is_looked_at() -> None:
    found = {page.relative_to(REPOSITORY).as_posix() for page in blocks.pages()}
    assert {"README.md", "docs/why.md", "docs/howto/gpus.md"} <= found
