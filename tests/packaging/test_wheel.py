"""The wheel as users get it, with this tree out of reach. `make package` runs more, under every Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.packaging.wheel import CHECK, SHARED

PACKAGES = ("rro_sdk", "servers", "trainers")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this tree, as an installer would."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_it_holds_the_packages_whole_and_nothing_else(installed: Path) -> None:
    for package in PACKAGES:
        source = {
            path.relative_to(REPOSITORY)
            for path in (REPOSITORY / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {
            path.relative_to(installed) for path in (installed / package).rglob("*") if path.is_file()
        } == source
        assert (installed / package / "py.typed").is_file()
    (info,) = [path for path in installed.iterdir() if path.name not in PACKAGES]
    assert (info / "licenses" / "LICENSE").is_file()
    points = ConfigParser()
    points.read(info / "entry_points.txt")
    assert dict(points["console_scripts"]) == {"rro": "rro_sdk.cli:main"}
    assert dict(points["pytest11"]) == {"rro": "rro_sdk.testing.plugin"}


def test_tests_pass_against_it_with_the_tree_out_of_reach(installed: Path, tmp_path: Path) -> None:
    wanted = (*SHARED, "test_semantics.py", "packaging/test_surface.py")
    for name in wanted:
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / "tests" / name, tmp_path / "tests" / name)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\npythonpath = .\n")
    # Without `site` no .pth file is read, and so not the one that leads back to this tree.
    path = [str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}
    check = CHECK.replace("sys.prefix", repr(str(installed)))
    for arguments in (["-c", check], ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]):
        done = subprocess.run(
            [sys.executable, "-S", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
