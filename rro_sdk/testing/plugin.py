"""Fixtures for tests of what is built on the SDK; pytest finds them wherever rro-sdk is installed.

Every pytest session there imports this module, so it imports nothing of ours until a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rro_sdk.testing import ScriptedPolicy, ServerInThread, TreeEnv
    from rro_sdk.types import Task


@pytest.fixture
def rro_env() -> TreeEnv:
    """A toy environment: trees of moves in which every state's true value is known."""
    from rro_sdk.testing import TreeEnv

    return TreeEnv()


@pytest.fixture
def rro_tasks() -> list[Task]:
    """Four tasks of `rro_env`."""
    from rro_sdk.testing import tree_tasks

    return tree_tasks(4)


@pytest.fixture
def rro_policy() -> type[ScriptedPolicy]:
    """Makes a policy that says what it is told: `rro_policy(["Action: go on", "Action: stop"])`."""
    from rro_sdk.testing import ScriptedPolicy

    return ScriptedPolicy


@pytest.fixture
def rro_servers() -> Iterator[Callable[..., ServerInThread]]:
    """Starts fake SGLang servers, which end with the test: `rro_servers(reply=..., faults=...)`.

    The arguments are those of `servers.fake.FakeSettings`.
    """
    from rro_sdk.testing import ServerInThread
    from servers.fake import FakeSettings

    with ExitStack() as stack:

        def start(**settings: Any) -> ServerInThread:
            return stack.enter_context(ServerInThread(FakeSettings(**settings)))

        yield start


@pytest.fixture
def rro_server(rro_servers: Callable[..., ServerInThread], rro_env: TreeEnv) -> ServerInThread:
    """A fake SGLang server whose model makes the moves of `rro_env`, each with equal chance."""
    from rro_sdk.testing import tree_reply

    return rro_servers(reply=tree_reply(rro_env.settings))
