"""Completions, asked for as a shell asks for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import rro

BASH = shutil.which("bash")

ASK = """
set -u
eval "$(rro completion bash)"
complete -p rro >&2
for line in "$@"; do
  read -ra COMP_WORDS <<< "$line"
  [[ "$line" == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _rro_completion rro
  echo "${COMPREPLY[*]}"
done
"""


@pytest.mark.skipif(BASH is None, reason="there is no bash")
def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    program = tmp_path / "rro"
    program.write_text(f"#!{sys.executable}\nfrom rro_sdk.cli import main\nmain()\n")
    program.chmod(0o755)
    lines = (
        "rro samp",
        "rro data synth ",
        "rro sample --temp",
        "rro sample --reuse ",
        "rro sample --env web",
        "rro sample --method fi",
    )
    done = subprocess.run(
        [BASH or "", "-c", ASK, "ask", *lines],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.stdout.splitlines() == [
        "sample",
        "sql webshop",
        "--temperature",
        "off unbiased economy",
        "webshop",
        "fixed",
    ], done.stderr
    assert "-F _rro_completion rro" in done.stderr


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "#compdef rro"), ("fish", "complete ")]
)
def test_each_shell_has_its_script(shell: str, word: str) -> None:
    done = rro("completion", shell)
    assert done.returncode == 0
    assert word in done.stdout
    assert "_RRO_COMPLETE" in done.stdout


def test_another_shell_is_bad_input() -> None:
    done = rro("completion", "csh")
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr
