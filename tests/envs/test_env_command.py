"""`rro env`: what it lists, and that listing it loads nothing."""

from __future__ import annotations

import subprocess
import sys

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
