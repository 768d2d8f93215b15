"""What the package may import (docs/architecture.md)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVERS = Path(__file__).resolve().parents[2] / "servers"
FILES = sorted(SERVERS.rglob("*.py"))
ALONE = {
    "_supervisor.py": set(),
    "_launch.py": {"torch", "sglang"},
    "_cpu_shim.py": {"torch", "sgl_kernel"},
}
"""Files that run where rro_sdk is not installed, with what they may import beside the standard library."""


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SERVERS)))
def test_of_the_sdk_only_the_errors(path: Path) -> None:
    ours = {name for name in _imported(path) if name.split(".")[0] in ("rro_sdk", "trainers")}
    assert ours <= {"rro_sdk.errors"}


@pytest.mark.parametrize("name", sorted(ALONE))
def test_what_runs_elsewhere_needs_nothing_of_ours(name: str) -> None:
    roots = {module.split(".")[0] for module in _imported(SERVERS / name)}
    assert roots <= set(sys.stdlib_module_names) | ALONE[name]
