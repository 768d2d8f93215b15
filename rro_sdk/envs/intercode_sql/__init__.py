"""InterCode-SQL (arXiv 2306.14898): questions about real databases, answered in SQL.

Needs the extra `envs`.
"""

from rro_sdk.envs.intercode_sql.env import InterCodeSQL, Settings
from rro_sdk.envs.intercode_sql.experts import Dialogue, expert_turns, load_dialogues
from rro_sdk.envs.intercode_sql.library import Library, open_library
from rro_sdk.envs.intercode_sql.tasks import TaskSet, load_tasks, read_tasks, split

__all__ = [
    "Dialogue",
    "InterCodeSQL",
    "Library",
    "Settings",
    "TaskSet",
    "expert_turns",
    "load_dialogues",
    "load_tasks",
    "open_library",
    "read_tasks",
    "split",
]
