"""Every code block of README.md and docs/ runs, or says above it why it cannot."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from rro_sdk.cli import main
from tests.conftest import REPOSITORY
from tests.docs.blocks import Block, blocks_of, pages
from tests.docs.conftest import Known
from tests.docs.shell import fault_of, lines_of, parse_rro
from tests.docs.world import given
from trainers.iterate.config import parse_config

PAGES = {page.relative_to(REPOSITORY).as_posix(): blocks_of(page) for page in pages()}
SHELL = ("sh", "bash", "console")
PLAIN = ("text", "diff")
"""Figures and output: nothing that could be run."""

RUN_TOO = {
    ("report",),
    ("check",),
    ("cost",),
    ("explain",),
    ("export",),
    ("data", "list"),
    ("env", "check"),
    ("config", "show"),
}
"""Commands that need no server and end within a second. What they take is in the folder `known`."""

ENDS = {("view",): "--html", ("watch",): "--once"}
"""Commands that serve or watch, and the option with which they end by themselves."""

MADE = re.compile(r'run_dir="([^"]+)"')
ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):(3\d{4})")


def blocks(*languages: str) -> list[Any]:
    found = [block for page in PAGES.values() for block in page if block.language in languages]
    return [pytest.param(block, id=str(block)) for block in found]


def test_there_are_blocks_of_every_kind() -> None:
    assert len(blocks("python")) > 5 and len(blocks(*SHELL)) > 5


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_checked_or_says_why_not(page: str) -> None:
    known = ("python", *SHELL, *PLAIN, "toml", "json", "yaml")
    for block in PAGES[page]:
        assert block.language, f"{block}: name the block's language; `text` is for what cannot be run"
        assert block.not_run != "", f"{block}: say why it is not run"
        assert block.language in known or block.not_run, f"{block}: no test runs {block.language}"
        if block.language in PLAIN:
            commands = [
                line for line in block.code.splitlines() if line.startswith(("rro ", "python ", "$ "))
            ]
            assert not commands, f"{block}: {commands[0]!r} is a command; make it a block of sh"


def run(block: Block, names: dict[str, Any]) -> None:
    """Execute Python in these names; what is awaited at the top level is awaited in a loop of its own."""
    for source, first in ((block.given, block.line), (block.code, block.line)):
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile("\n" * (first - 1) + source, REPOSITORY / block.page, "exec", flags)
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(_awaited(eval(code, names)))
        else:
            exec(code, names)


async def _awaited(coroutine: Any) -> None:
    await coroutine


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language == "python" for b in PAGES[page])])
def test_python(
    page: str,
    known: Known,
    urls: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A page's blocks run one after the other, as a reader would try them."""
    shutil.copytree(known.folder, tmp_path, dirs_exist_ok=True)
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = ModuleType("page")
    monkeypatch.setitem(__import__("sys").modules, "page", module)
    module.__dict__.update(given(urls))
    for block in PAGES[page]:
        if block.printed:
            assert capsys.readouterr().out == block.code, f"{block} is not what the block above prints"
        if block.language != "python":
            continue
        capsys.readouterr()
        here = _here(block, urls)
        for made in MADE.findall(here.code):  # a block that makes a run finds none of that name
            shutil.rmtree(tmp_path / made, ignore_errors=True)
        if block.not_run:
            compile(here.code, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        else:
            run(here, module.__dict__)


def _here(block: Block, urls: Sequence[str]) -> Block:
    """The block with the fake servers in place of the addresses that pages use."""
    code = ADDRESS.sub(lambda found: urls[int(found[1]) % len(urls)], block.code)
    return replace(block, code=code)


@pytest.mark.parametrize("block", blocks(*SHELL))
def test_shell(
    block: Block,
    known: Known,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(known.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    places = {"RUN": "runs/first", "PAIR": known.pair}
    for line in lines_of(block.code):
        said = " ".join(line.words)
        if line.words[0] != "rro":
            assert block.not_run or not (fault := fault_of(line)), f"{block}: `{said}`: {fault}"
            continue
        try:
            path = parse_rro(line)
        except click.UsageError as error:
            pytest.fail(f"{block}: `{said}`: {error.format_message()}")
        runs = path in RUN_TOO or ENDS.get(path, "") in line.words
        if runs and not block.not_run and not line.elided:
            try:
                main([places.get(word, word) for word in line.words[1:]])
            except SystemExit as ended:
                pytest.fail(f"{block}: `{said}` ends with {ended.code}: {capsys.readouterr().err}")


@pytest.mark.parametrize("block", blocks("toml", "json", "yaml"))
def test_data(block: Block, tmp_path: Path) -> None:
    """It can be read. TOML may name its file in the first line: it is then read as what that file is, parts
    of a loop's configuration as parts of examples/iterate.toml."""
    if block.language == "json":
        json.loads(block.code)
    elif block.language == "yaml":
        yaml.safe_load(block.code)
    else:
        tree = tomllib.loads(block.code)
        name = block.code.splitlines()[0].strip("# ")
        if name == "iterate.toml" or "iterations" in tree:
            loop = tomllib.loads((REPOSITORY / "examples" / "iterate.toml").read_text())
            parse_config(loop | tree)
        elif name == "rro.toml":
            settings = tmp_path / name
            settings.write_text(block.code)
            main(["--config", str(settings), "config", "show"])
