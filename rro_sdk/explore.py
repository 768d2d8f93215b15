"""One task, explored step by step under a method (Algorithm 1's two loops).

The order of things at a step: the trajectory's own action where the method keeps it apart, and the
candidates that the method always draws, all at once; then candidates one by one, each judged before the
next is drawn; then the pair; then the trajectory goes on. What is decided does not depend on what ran at the
same time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rro_sdk._concurrency import all_of
from rro_sdk.draws import BASELINE_STEP, DrawKey
from rro_sdk.errors import Divergence, ServerError
from rro_sdk.methods.base import Method, StepView, Stop, advance
from rro_sdk.recording import TaskMemory
from rro_sdk.reward import estimate
from rro_sdk.rollout import Actor, Cost, Prefix
from rro_sdk.types import (
    PREFIX_ACTION,
    Baseline,
    Candidate,
    Discarded,
    Estimate,
    Event,
    PairChoice,
    Step,
    StepOutcome,
    StepRecord,
    Task,
    TaskEnd,
)

A = TypeVar("A")
B = TypeVar("B")

MAX_REDRAWS = 5
"""Steps drawn again because the weights changed under them, before the task is set aside. A reload
comes once an iteration, so a step that sees more than a few is a server flapping between versions."""


@dataclass(slots=True)
class _Branch:
    """A candidate's turn and the prefix that it leads to; the episode lives as long as the step."""

    turn: Step
    prefix: Prefix


class TaskExplorer:
    """Explores one task; `events` yields what happened in the order in which it is decided.

    Args:
        actor: plays the environment with the policy.
        method: what is explored at a step and when it stops.
        task: the task.
        run_seed: seed of the run (rule 10).
        memory: what a resumed run knows of the task; its decided steps are not explored again, and are not
            among the events.
    """

    def __init__(
        self, actor: Actor, method: Method, task: Task, run_seed: int, memory: TaskMemory | None = None
    ) -> None:
        self._actor = actor
        self._method = method
        self._task = task
        self._memory = memory or TaskMemory()
        self._key = DrawKey(run_seed, task.id, attempt=self._memory.attempt)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Explore to the end of the trajectory.

        Yields:
            `Baseline` once per estimate of the bare prefix, `StepRecord` per step, `Discarded` per step
            that saw two weight versions (rule 8), and `TaskEnd` last.

        Raises:
            RROError: a fault of the servers or the environment that outlived its retries.
        """
        branches: dict[int, _Branch] = {}
        prefix = await self._actor.start(self._task)
        try:
            step, redraws = 1, 0
            baseline: Estimate | None = None
            versions: set[str] = set()
            went_on: Candidate | None = None
            for record in self._memory.steps:
                went_on = record.candidate(record.advance)
                if not went_on.observation.done:
                    prefix = await self._walk(prefix, went_on)
                baseline, step = went_on.estimate, record.step + 1
                versions = {record.weight_version} - {""}
            while went_on is None or went_on.observation.outcome is None:
                base_cost, cost = Cost(weight_versions=versions), Cost()
                needs_baseline = baseline is None
                view, outcome = await self._explore_step(prefix, baseline, step, base_cost, cost, branches)
                if needs_baseline and (step, self._key.attempt) not in self._memory.has_baseline:
                    yield Baseline(
                        self._task.id,
                        step,
                        view.baseline,
                        base_cost.usage,
                        base_cost.turns,
                        self._key.attempt,
                    )
                versions = base_cost.weight_versions | cost.weight_versions
                if len(versions) > 1:  # rule 8: one policy version a step
                    await _close(branches)
                    seen = tuple(sorted(versions))
                    yield Discarded(self._task.id, step, seen, cost.usage, self._key.attempt)
                    redraws += 1
                    if redraws > MAX_REDRAWS:
                        raise ServerError(
                            f"step {step} of task {self._task.id} saw two weight versions {redraws} times"
                            f" ({', '.join(seen)}); do all servers serve one version?"
                        )
                    self._key = replace(self._key, attempt=self._key.attempt + 1)
                    baseline, versions = None, set()
                    continue
                went_on = advance(view, self._method.prefix)
                yield self._record(prefix, view, outcome, went_on, step, next(iter(versions), ""), cost)
                if went_on.observation.outcome is None:
                    await prefix.episode.close()
                    prefix = branches.pop(went_on.index).prefix
                await _close(branches)
                baseline, step = went_on.estimate, step + 1
            end = went_on.observation
            yield TaskEnd(self._task.id, step - 1, went_on.observation.outcome, end.truncated)
        finally:
            await prefix.episode.close()
            await _close(branches)

    async def _walk(self, prefix: Prefix, went_on: Candidate) -> Prefix:
        """Take a decided step again, without a policy. The episode of `prefix` goes on in the new one.

        Raises:
            Divergence: the environment answered something else than what is recorded.
        """
        turn = await self._actor.run(prefix.episode, went_on.action, prefix.turns)
        if turn.observation != went_on.observation:
            raise Divergence(
                f"task {self._task.id} replayed to another observation at step {prefix.turns + 1}:"
                " its environment or data have changed"
            )
        return Prefix(self._actor.extend(prefix.messages, turn), prefix.episode, prefix.turns + 1)

    def _record(
        self,
        prefix: Prefix,
        view: StepView,
        outcome: StepOutcome,
        went_on: Candidate,
        step: int,
        weight_version: str,
        cost: Cost,
    ) -> StepRecord:
        pair = self._method.pair(view)
        return StepRecord(
            task_id=self._task.id,
            step=step,
            prefix=prefix.messages,
            baseline=view.baseline,
            candidates=view.candidates,
            outcome=outcome,
            pair=pair if isinstance(pair, PairChoice) else None,
            no_pair=None if isinstance(pair, PairChoice) else pair,
            advance=went_on.index,
            weight_version=weight_version,
            usage=cost.usage,
            turns=cost.turns,
            prefix_action=view.prefix_action,
            attempt=self._key.attempt,
        )

    async def _explore_step(
        self,
        prefix: Prefix,
        baseline: Estimate | None,
        step: int,
        base_cost: Cost,
        cost: Cost,
        branches: dict[int, _Branch],
    ) -> tuple[StepView, StepOutcome]:
        """Draw until the method stops. The caller closes `branches`.

        Args:
            baseline: process reward of the prefix, where it is known already.
            base_cost: what estimating it costs, otherwise.
        """
        certain = [PREFIX_ACTION] if self._method.keep_prefix_action else []
        certain.extend(range(self._method.min_candidates))
        if baseline is None:
            reward, first = await _both(
                self._baseline(prefix, step, base_cost),
                self._draw(prefix, step, certain, (), cost, branches),
            )
        else:
            reward, first = baseline, await self._draw(prefix, step, certain, (), cost, branches)
        own = first.pop(0) if self._method.keep_prefix_action else None
        ahead, candidates = deque(first), list[Candidate]()
        while True:
            view = StepView(reward, tuple(candidates), own)
            decision = self._method.decide(view)
            if isinstance(decision, Stop):
                return view, decision.outcome
            if not ahead:
                ahead.extend(await self._draw(prefix, step, [len(candidates)], candidates, cost, branches))
            candidates.append(ahead.popleft())

    async def _baseline(self, prefix: Prefix, step: int, cost: Cost) -> Estimate:
        # Keyed under the step before the one it serves: the bare task's is step 0 (rule 1).
        key = replace(self._key, step=BASELINE_STEP + step - 1)
        return await estimate(self._actor, prefix, self._method.rollouts, key, cost)

    async def _draw(
        self,
        prefix: Prefix,
        step: int,
        indices: Sequence[int],
        earlier: Sequence[Candidate],
        cost: Cost,
        branches: dict[int, _Branch],
    ) -> list[Candidate]:
        """Candidates of one step, at once: act, run, estimate (rules 2 and 9)."""
        drawn = await all_of(self._branch(prefix, step, index, cost, branches) for index in indices)
        # Whose equal is whose goes by the order of the draw, not of the replies. The trajectory's own
        # action is no candidate, so none takes its estimate.
        texts = {candidate.index: _text(candidate) for candidate in earlier}
        twins: dict[int, int] = {}
        for index, branch in zip(indices, drawn, strict=True):
            text = _text(branch.turn)
            twin = next((other for other, seen in texts.items() if seen == text), None)
            if twin is not None:
                twins[index] = twin
            if index != PREFIX_ACTION:
                texts[index] = text
        values: dict[int, Estimate] = {candidate.index: candidate.estimate for candidate in earlier}

        async def judge(index: int, branch: _Branch) -> None:
            if (outcome := branch.turn.observation.outcome) is not None:
                values[index] = Estimate((outcome,), terminal=True)
            elif index not in twins or self._method.reestimate_duplicates:
                key = replace(self._key, step=step, candidate=index)
                values[index] = await estimate(self._actor, branch.prefix, self._method.rollouts, key, cost)

        await all_of(judge(index, branch) for index, branch in zip(indices, drawn, strict=True))
        return [
            Candidate(
                index=index,
                action=branch.turn.action,
                observation=branch.turn.observation,
                estimate=values[index] if index in values else values[twins[index]],
                duplicate_of=twins.get(index),
            )
            for index, branch in zip(indices, drawn, strict=True)
        ]

    async def _branch(
        self, prefix: Prefix, step: int, index: int, cost: Cost, branches: dict[int, _Branch]
    ) -> _Branch:
        """Draw one action and run it in an episode of its own."""
        key = replace(self._key, step=step, candidate=index)
        episode = await prefix.episode.fork()
        try:
            turn = await self._actor.take_turn(
                episode, prefix.messages, prefix.turns, key.at_turn(prefix.turns + 1), cost
            )
        except BaseException:
            await episode.close()
            raise
        after = Prefix(self._actor.extend(prefix.messages, turn), episode, prefix.turns + 1)
        branches[index] = _Branch(turn, after)
        return branches[index]


def _text(turn: Step | Candidate) -> tuple[str, str]:
    return turn.action.text, turn.observation.text


async def _both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    try:
        async with asyncio.TaskGroup() as group:
            one, two = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return one.result(), two.result()


async def _close(branches: dict[int, _Branch]) -> None:
    while branches:
        await branches.popitem()[1].prefix.episode.close()
