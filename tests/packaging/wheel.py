"""Runs tests against a built wheel, with the source tree out of reach, under each Python that is named.

    python tests/packaging/wheel.py dist/rro_sdk-0.1.0-py3-none-any.whl python3.11 python3.12 python3.13

Each gets a virtual environment and a folder with copies of the tests, both in a temporary place, and nothing
else; a Python that is not there is named and skipped. Needs the standard library alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

TESTS = (
    "test_semantics.py",
    "test_sampler.py",
    "test_errors.py",
    "test_journal.py",
    "test_react.py",
    "methods/test_race.py",
    "methods/test_rising.py",
    "methods/test_rules.py",
    "methods/test_widening.py",
    "metrics/test_values.py",
    "packaging/test_surface.py",
    "testing",
)
"""What needs neither data, nor torch, nor a server: the rules, the sampler, the journal, the fixtures."""

SHARED = (
    "__init__.py",
    "conftest.py",
    "toys.py",
    "methods/__init__.py",
    "metrics/__init__.py",
    "packaging/__init__.py",
    "packaging/surface.py",
    "packaging/surface.txt",
)

TOOLS = ("pytest", "pytest-asyncio", "hypothesis")

CHECK = """
import sys, pathlib, rro_sdk, servers, trainers
for module in (rro_sdk, servers, trainers):
    place = pathlib.Path(module.__file__)
    assert pathlib.Path(sys.prefix) in place.parents, f"{place} is not the wheel's"
assert (pathlib.Path(rro_sdk.__file__).parent / "py.typed").is_file()
print(sys.version.split()[0], "imports the wheel")
"""


def main(wheel: Path, pythons: Sequence[str]) -> int:
    """0 where the tests passed under every Python that is there, and there is one."""
    found = {python: path for python in pythons if (path := _working(python)) is not None}
    for python in pythons:
        if python not in found:
            print(f"{python}: not on this machine, so not tested", flush=True)
    failed = [python for python, path in found.items() if not _passes(wheel, path)]
    for python in found:
        print(f"{python}: {'failed' if python in failed else 'passed'}")
    return 1 if failed or not found else 0


def _working(python: str) -> str | None:
    """Where it is; None for a launcher of a version that is not installed."""
    path = shutil.which(python)
    if path is None or subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
        return None
    return path


def _passes(wheel: Path, python: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="rro-wheel-") as name:
        work = Path(name)
        subprocess.run([python, "-m", "venv", work / "venv"], check=True)
        inside = str(work / "venv" / "bin" / "python")
        pins = ["-c", str(REPOSITORY / "requirements" / "sdk.txt")]
        subprocess.run(
            [
                inside,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *pins,
                f"{wheel}",
                *TOOLS,
            ],
            check=True,
        )
        tests = work / "tests"
        for path in (*SHARED, *TESTS):
            _copy(REPOSITORY / "tests" / path, tests / path)
        for path in ("pyproject.toml", "examples/test_with_fixtures.py"):
            _copy(REPOSITORY / path, work / path)
        (work / "pytest.ini").write_text(
            "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\npythonpath = .\n"
        )
        if subprocess.run([inside, "-c", CHECK], cwd=work, check=False).returncode:
            return False
        command = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        return subprocess.run(command, cwd=work, check=False).returncode == 0


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python tests/packaging/wheel.py WHEEL PYTHON ...")
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
