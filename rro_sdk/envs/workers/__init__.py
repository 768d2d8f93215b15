"""Blocking worlds in processes of their own, so that they hold nothing up.

class World:                                  # in my_package.my_world
    def start(self, task: Task) -> Game: ...  # Game: opening, step(command), limit_outcome(), close()

env = WorkerEnvironment(
    "my_package.my_world:World", name="my-world", max_steps=20, instructions="...", workers=4
)
"""

from rro_sdk.envs.workers.environment import BlockingGame, BlockingWorld, WorkerEnvironment

__all__ = ["BlockingGame", "BlockingWorld", "WorkerEnvironment"]
