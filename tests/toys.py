"""A toy world and a scripted policy: every draw of a run can be written down by its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rro_sdk.draws import DrawKey
from rro_sdk.envs.base import Environment, Episode
from rro_sdk.errors import EnvironmentFault
from rro_sdk.policy import Proposal
from rro_sdk.prompts import react
from rro_sdk.types import Message, Observation, Step, Task, Usage


class ToyEpisode(Episode):
    """`go X` is remembered, `end V` ends with outcome V, `break` is a fault of the world."""

    def __init__(self, env: ToyEnv, path: tuple[str, ...] = ()) -> None:
        self._env = env
        self.path = path
        self.closed = False
        env.open_episodes += 1

    @property
    def opening(self) -> str:
        return "begin"

    async def step(self, command: str) -> Observation:
        verb, _, value = command.partition(" ")
        if verb == "end":
            return Observation(f"ended with {value}", done=True, outcome=float(value))
        if verb == "break":
            raise EnvironmentFault("the toy world broke")
        self.path = (*self.path, value)
        return Observation(" ".join(self.path))

    def limit_outcome(self) -> float:
        return self._env.limit_outcome

    async def fork(self) -> ToyEpisode:
        return ToyEpisode(self._env, self.path)

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._env.open_episodes -= 1


class ToyEnv(Environment):
    name = "toy"
    instructions = "Say go X or end V."

    def __init__(self, max_steps: int = 4, limit_outcome: float = 0.0) -> None:
        self.max_steps = max_steps
        self.limit_outcome = limit_outcome
        self.open_episodes = 0

    async def start(self, task: Task) -> ToyEpisode:
        return ToyEpisode(self)


Reply = str | Callable[[Sequence[Message]], str]


class ScriptedPolicy:
    """Replies by draw: `script[key.seed()]`, else `default`. Keeps the seeds in the order of the calls."""

    def __init__(
        self,
        script: Mapping[DrawKey, str] | None = None,
        *,
        default: Callable[[int], str] = lambda seed: "Action: end 0",
        versions: Callable[[int], tuple[str, ...]] = lambda seed: ("v0",),
    ) -> None:
        self._script = {key.seed(): text for key, text in (script or {}).items()}
        self._default = default
        self._versions = versions
        self.seeds: list[int] = []

    def open(self, env: Environment, opening: str) -> tuple[Message, ...]:
        return (react.system_message(env.instructions), Message("user", opening))

    def extend(self, messages: tuple[Message, ...], step: Step) -> tuple[Message, ...]:
        return (*messages, *react.turn_messages(step))

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        self.seeds.append(seed)
        text = self._script.get(seed) or self._default(seed)
        return Proposal(
            action=react.parse(text, "stop"),
            usage=Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=3),
            weight_versions=self._versions(seed),
            server="scripted",
        )


class Script(dict[DrawKey, str]):
    """A run's draws for one task, written as the paper would name them."""

    def __init__(self, task: str, run_seed: int = 0) -> None:
        super().__init__()
        self._task, self._seed = task, run_seed

    def baseline(self, *outcomes: float) -> Script:
        """r_0: the bare task's rollouts, each ending at once."""
        for index, outcome in enumerate(outcomes):
            self[DrawKey(self._seed, self._task, step=0, rollout=index, turn=1)] = f"Action: end {outcome}"
        return self

    def candidate(self, step: int, index: int, action: str, *outcomes: float) -> Script:
        """Candidate `index` of `step`, and its rollouts, each ending at its first turn."""
        self[DrawKey(self._seed, self._task, step=step, candidate=index, turn=step)] = f"Action: {action}"
        for rollout, outcome in enumerate(outcomes):
            key = DrawKey(self._seed, self._task, step, index, rollout, step + 1)
            self[key] = f"Action: end {outcome}"
        return self
