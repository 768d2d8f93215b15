"""`rro env`: what it lists, and that listing it loads nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import rro


def test_help_names_every_command() -> None:
    assert {"check", "up", "down"} <= set(rro("env", "--help").stdout.split())
    assert {"intercode-sql", "webshop"} <= set(rro("env", "check", "--help").stdout.split())


def test_help_loads_no_environment() -> None:
    script = (
        "import sys, rro_sdk.cli as cli\n"
        "try: cli.main(['env', 'check', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('sqlglot', 'numpy', 'pymysql', 'rro_sdk.envs.webshop')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "oracle"),
        ("down",),
        ("check", "intercode-sql", "--backend", "oracle"),
        ("check", "intercode-sql", "--turns", "x", "--colour"),
        ("check", "no.such.module:suite"),
        ("check", "tests.toys:nothing"),
    ],
)
def test_bad_input_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    done = rro("env", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mylocks:suite", "no module mylocks is found; install it, or set PYTHONPATH to its folder"),
        (":suite", "no environment is called ':suite'"),
        (".mylocks:suite", "no environment is called '.mylocks:suite'"),
    ],
)
def test_an_environment_of_ones_own_that_is_not_found_is_said(name: str, said: str) -> None:
    done = rro("env", "check", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert len(done.stderr.splitlines()) == 1


def test_a_setting_of_another_kind_is_said(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text('{"id": "t", "query": "?", "db": "d", "gold": "SELECT 1"}\n')
    given = ("sample", "-s", "http://127.0.0.1:1", "--run", str(tmp_path / "run"), "--env")
    for name, *more in (
        ("intercode-sql", "-e", "databases=2024", "--tasks", str(tmp_path / "tasks.jsonl")),
        ("webshop", "-e", "size=abc"),
    ):
        done = rro(*given, name, *more)
        assert done.returncode == 2
        assert f"environment {name} does not take these settings" in " ".join(done.stderr.split())
