"""For testing what is built on the SDK: worlds of which everything is known, policies that say what they are
told, servers without a model. `rro_sdk.testing.plugin` has them as pytest fixtures."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rro_sdk.testing.scripted import ScriptedPolicy
    from rro_sdk.testing.serving import ServerInThread
    from rro_sdk.testing.tree import TreeEnv, TreePolicy, TreeSettings, TreeWorld, tree_reply, tree_tasks

_MODULES = {
    "ScriptedPolicy": "scripted",
    "ServerInThread": "serving",
    "TreeEnv": "tree",
    "TreePolicy": "tree",
    "TreeSettings": "tree",
    "TreeWorld": "tree",
    "tree_reply": "tree",
    "tree_tasks": "tree",
}
"""Where each name is: loaded when it is asked for, since pytest imports this package in every session."""

__all__ = [
    "ScriptedPolicy",
    "ServerInThread",
    "TreeEnv",
    "TreePolicy",
    "TreeSettings",
    "TreeWorld",
    "tree_reply",
    "tree_tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
