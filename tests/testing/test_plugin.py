"""The fixtures that pytest finds where rro-sdk is installed, as a user's tests see them."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from rro_sdk.errors import ConfigError
from rro_sdk.testing import ScriptedPolicy
from rro_sdk.types import Message
from tests.conftest import REPOSITORY

pytest_plugins = "pytester"

PLUGIN = "rro_sdk.testing.plugin"

EXAMPLE = REPOSITORY / "examples" / "test_with_fixtures.py"


def test_users_tests_run_with_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(EXAMPLE.read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    loaded = [] if _installed() else ["-p", PLUGIN]
    pytester.runpytest_inprocess("-p", "no:cacheprovider", *loaded).assert_outcomes(passed=3)


def test_nothing_of_ours_is_imported_before_a_fixture_is_asked_for(pytester: pytest.Pytester) -> None:
    if not _installed():  # else pytest has found it, and takes no plugin twice
        pytester.makeconftest(f"pytest_plugins = {PLUGIN!r}")
    pytester.makepyfile(
        """
        import sys

        def test_light():
            ours = {name for name in sys.modules if name.split(".")[0] in ("rro_sdk", "servers")}
            assert ours <= {"rro_sdk", "rro_sdk.testing", "rro_sdk.testing.plugin"}
            assert "aiohttp" not in sys.modules and "msgspec" not in sys.modules
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_distribution_declares_them() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert f'[project.entry-points.pytest11]\nrro = "{PLUGIN}"' in text


@pytest.mark.parametrize("say", [[], "Action: move 0"])
def test_a_policy_needs_something_to_say(say: list[str] | str) -> None:
    with pytest.raises(ConfigError, match="list of replies"):
        ScriptedPolicy(say)


async def test_the_last_reply_is_said_again() -> None:
    policy = ScriptedPolicy(["Action: a", "Action: b"])
    history = [Message("user", "begin")]
    said = []
    for _ in range(3):
        reply = (await policy.act(history, seed=0, affinity="t")).action.text
        said.append(reply)
        history += [Message("assistant", reply), Message("user", "seen")]
    assert said == ["Action: a", "Action: b", "Action: b"]


def _installed() -> bool:
    return any(point.value == PLUGIN for point in metadata.entry_points(group="pytest11"))
