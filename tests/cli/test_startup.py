"""What starting costs, by what is imported: a time would depend on the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "transformers", "trl", "datasets", "sglang", "ray", "numpy", "scipy", "matplotlib"),
    *(
        "aiohttp",
        "httpx2",
        "rich",
        "sqlglot",
        "tenacity",
        "msgspec",
        "asyncio",
        "sqlite3",
        "email",
        "pathlib",
    ),
    *("servers", "trainers"),
}

OURS = {"rro_sdk", "rro_sdk.cli", "rro_sdk.cli._errors", "rro_sdk.cli._groups", "rro_sdk.errors"}


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("import rro_sdk", {"rro_sdk"}),
        ("from rro_sdk.cli import main; main(['--help'])", OURS),
        ("from rro_sdk.cli import main; main(['--version'])", OURS),
    ],
)
def test_starting_imports_nothing_heavy(code: str, ours: set[str]) -> None:
    asked = f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    found = set(done.stderr.split())
    by_metadata = (
        {"email", "pathlib"} if "--version" in code else set()
    )  # importlib's reads a header with them
    heavy = HEAVY - by_metadata
    assert found & heavy == set()
    assert {name for name in found if name.split(".")[0] == "rro_sdk"} == ours


def test_what_is_exported_is_what_is_declared() -> None:
    import ast
    from pathlib import Path

    import rro_sdk

    tree = ast.parse(Path(rro_sdk.__file__).read_text(encoding="utf-8"))
    declared = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rro_sdk.")
        for alias in node.names
    }
    assert declared == {(module, name) for module, names in rro_sdk._WHERE.items() for name in names}
    assert {name for _, name in declared} == set(rro_sdk.__all__)
    assert all(getattr(rro_sdk, name) is not None for name in rro_sdk.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Samplr'"):
        rro_sdk.Samplr  # type: ignore[attr-defined]  # noqa: B018
