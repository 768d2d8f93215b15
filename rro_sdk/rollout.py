"""Policy plus episode, turn by turn, to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from rro_sdk._concurrency import to_the_end
from rro_sdk.draws import DrawKey
from rro_sdk.envs.base import Environment, Episode
from rro_sdk.errors import DataError, Divergence, EnvironmentFault
from rro_sdk.policy import Policy
from rro_sdk.prompts.hint import with_hint
from rro_sdk.recording import Recorder, RolloutEnd, Unrecorded
from rro_sdk.types import HISTORY_FULL, Action, Message, Observation, Step, Task, Trajectory, Usage


@dataclass(frozen=True, slots=True)
class Prefix:
    """A trajectory so far, e_{1:t}: the history that the policy sees and the episode in that state.

    Attributes:
        messages: the history, ready for the next action.
        episode: its state; fork it, never step it.
        turns: turns taken, t.
    """

    messages: tuple[Message, ...]
    episode: Episode
    turns: int = 0


@dataclass(slots=True)
class Cost:
    """Tokens and the weight versions that made them, added up as draws come in."""

    usage: Usage = field(default_factory=Usage)
    weight_versions: set[str] = field(default_factory=set)
    turns: int = 0

    def add(self, usage: Usage, weight_versions: tuple[str, ...]) -> None:
        self.usage += usage
        self.weight_versions.update(weight_versions)
        self.turns += 1

    def include(self, other: Cost) -> None:
        self.usage += other.usage
        self.weight_versions |= other.weight_versions
        self.turns += other.turns


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rollout's outcome in [0, 1], and the action that it began with; None where it broke before that.

    `steps` are its turns where they were asked for, and it did not break.
    """

    outcome: float
    first: Action | None
    steps: tuple[Step, ...] = ()
    truncated: bool = False


class Actor:
    """Plays one environment with one policy. Stateless between calls; safe for concurrent ones.

    Args:
        env: the environment.
        policy: the policy.
        recorder: keeps what is drawn, and gives back what was drawn before.
        score_faults: a rollout that the environment breaks is worth what the environment says
            (`Environment.fault_outcome`) and its error is kept; else it is an error of the task.
    """

    def __init__(
        self,
        env: Environment,
        policy: Policy,
        recorder: Recorder | None = None,
        *,
        score_faults: bool = True,
    ) -> None:
        self.env = env
        self._policy = policy
        self._recorder = recorder or Unrecorded()
        self._score_faults = score_faults

    async def start(self, task: Task) -> Prefix:
        """The bare task, e = [u]."""
        episode = await self.env.start(task)
        return Prefix(self._policy.open(self.env, episode.opening), episode)

    async def take_turn(
        self,
        episode: Episode,
        messages: tuple[Message, ...],
        turns: int,
        key: DrawKey,
        cost: Cost,
        hint: tuple[Message, ...] = (),
    ) -> Step:
        """Draw one action, or take the recorded one, and run it in `episode`, which it changes.

        A hint that does not fit the context beside the history is left out, for the episode goes on without
        it. The reply is recorded as one to the history with the hint, so that a resumed run finds it.

        Raises:
            RROError: the policy or the environment failed, or a recorded draw answered other messages.
        """
        hinted = with_hint(messages, hint)
        if (past := self._recorder.turn(key, hinted)) is not None:
            cost.add(past.usage, past.weight_versions)
            return await self.run(episode, past.action, turns)
        proposal = await self._policy.act(hinted, seed=key.seed(), affinity=key.task_id)
        if hint and proposal.action.error == HISTORY_FULL:
            proposal = await self._policy.act(messages, seed=key.seed(), affinity=key.task_id)
        if proposal.action.error == HISTORY_FULL and turns == 0:
            raise DataError(
                f"the opening of task {key.task_id} does not fit the model's context beside the tokens that a"
                " reply may have; serve a longer context, lower max_tokens, or leave the task out"
            )
        cost.add(proposal.usage, proposal.weight_versions)
        await self._recorder.keep_turn(key, hinted, proposal)
        return await self.run(episode, proposal.action, turns)

    async def run(self, episode: Episode, action: Action, turns: int) -> Step:
        """Run an action in `episode`, which it changes.

        A turn that reaches the step limit ends the episode with what the environment says it scores
        (rules 2 and 7): its observation is done. So does one where the history no longer fits the model.

        Args:
            episode: in the state after `turns` turns.
            action: what the policy said.
            turns: turns taken before this one.
        """
        if action.error == HISTORY_FULL:
            return Step(action, Observation(HISTORY_FULL, True, episode.limit_outcome(), truncated=True))
        if action.command is None:
            observation = Observation(action.error or "Your reply could not be read.")
        else:
            observation = await episode.step(action.command)
        if not observation.done and turns + 1 >= self.env.max_steps:
            observation = Observation(
                observation.text, done=True, outcome=episode.limit_outcome(), truncated=True
            )
        return Step(action, observation)

    def extend(self, messages: tuple[Message, ...], step: Step) -> tuple[Message, ...]:
        return self._policy.extend(messages, step)

    async def outcome(self, prefix: Prefix, key: DrawKey, cost: Cost, *, with_steps: bool = False) -> Rolled:
        """How one rollout from `prefix` ends: recorded, or drawn now and recorded.

        Args:
            prefix: where it begins; its episode is forked.
            key: names it.
            cost: is added to.
            with_steps: its turns are wanted too; the environment runs a recorded rollout again for them.

        Raises:
            Divergence: a recorded rollout could not be run again, or ended otherwise.
        """
        past = self._recorder.end(key)
        if past is not None and (not with_steps or past[0].fault is not None):
            end, turns = past
            for turn in turns:
                cost.add(turn.usage, turn.weight_versions)
            return Rolled(end.outcome, turns[0].action if turns and end.fault is None else None)
        steps: tuple[Step, ...] = ()
        try:
            trajectory = await self.roll_out(prefix, key, cost)
            steps, end = trajectory.steps, RolloutEnd(trajectory.outcome, trajectory.truncated)
        except Divergence:
            raise
        except EnvironmentFault as error:
            if past is not None:
                raise Divergence(
                    f"a recorded rollout of task {key.task_id} could not be run again"
                    f" ({type(error).__name__}: {error}); resume the run once its environment works"
                ) from error
            if not self._score_faults:
                raise
            end = RolloutEnd(self.env.fault_outcome, fault=f"{type(error).__name__}: {error}")
        if past is None:
            self._recorder.keep_end(key, end)
        elif end != past[0]:
            raise Divergence(
                f"a rollout of task {key.task_id} is recorded with outcome {past[0].outcome} and replayed to"
                f" {end.outcome}: its environment or data have changed"
            )
        first = steps[0].action if steps else None
        return Rolled(end.outcome, first, steps if with_steps else (), end.truncated)

    async def roll_out(self, prefix: Prefix, key: DrawKey, cost: Cost) -> Trajectory:
        """Go on from `prefix` to the end of the episode.

        Returns:
            The turns after the prefix, with the episode's outcome.
        """
        episode = await prefix.episode.fork()
        spent = Cost()
        steps: list[Step] = []
        messages, turns = prefix.messages, prefix.turns
        try:
            while True:
                step = await self.take_turn(episode, messages, turns, key.at_turn(turns + 1), spent)
                steps.append(step)
                turns += 1
                if step.observation.outcome is not None:
                    break
                messages = self.extend(messages, step)
        finally:
            cost.include(spent)
            await to_the_end(episode.close())
        return Trajectory(
            task_id=key.task_id,
            steps=tuple(steps),
            outcome=step.observation.outcome,
            truncated=step.observation.truncated,
            usage=spent.usage,
            weight_versions=tuple(sorted(spent.weight_versions)),
        )


async def close_all(episodes: Iterable[Episode]) -> None:
    """Close every one at once, whichever fails.

    Raises:
        EnvironmentFault: of the first that failed, once all are closed.
    """
    closing = [asyncio.ensure_future(episode.close()) for episode in episodes]
    await asyncio.gather(*closing, return_exceptions=True)
    for closed in closing:
        closed.result()
