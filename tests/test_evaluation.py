from __future__ import annotations

import pytest

from rro_sdk.draws import DrawKey
from rro_sdk.errors import ConfigError, EnvironmentFault
from rro_sdk.evaluation import evaluate
from rro_sdk.types import Task
from tests.toys import ScriptedPolicy, ToyEnv


async def test_each_task_is_played_once_and_averaged() -> None:
    tasks = [Task(f"t{number}", "") for number in range(4)]
    script = {
        DrawKey(0, task.id, rollout=0, turn=1): f"Action: end {value}"
        for task, value in zip(tasks, [0, 1, 1, 0.5], strict=True)
    }
    env, policy = ToyEnv(), ScriptedPolicy(script)
    found = await evaluate(env, policy, tasks)
    assert (found.tasks, found.mean_outcome, found.solved, found.turns) == (4, 0.625, 2, 4)
    assert found.interval[0] <= 0.625 <= found.interval[1]
    assert found.tokens.completion_tokens == 12
    assert found.weight_versions == ("v0",)
    assert env.open_episodes == 0


async def test_no_tasks_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no tasks"):
        await evaluate(ToyEnv(), ScriptedPolicy(), [])


async def test_a_fault_of_the_world_is_raised() -> None:
    env = ToyEnv()
    with pytest.raises(EnvironmentFault):
        await evaluate(env, ScriptedPolicy(default=lambda seed: "Action: break"), [Task("t", "")])
    assert env.open_episodes == 0
