"""One task, explored step by step under a method (Algorithm 1's two loops).

The order of things at a step: the trajectory's own action where the method keeps it apart, then
candidates one by one, each judged before the next is drawn; then the pair; then the trajectory goes on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from rro_sdk.draws import BASELINE_STEP, DrawKey
from rro_sdk.errors import ServerError
from rro_sdk.methods.base import Method, StepView, Stop, advance
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
    StepOutcome,
    StepRecord,
    Task,
    TaskEnd,
)

MAX_REDRAWS = 5
"""Steps drawn again because the weights changed under them, before the task is set aside. A reload
comes once an iteration, so a step that sees more than a few is a server flapping between versions."""


@dataclass(slots=True)
class _Drawn:
    """A candidate with the prefix that it leads to; the episode lives as long as the step."""

    candidate: Candidate
    prefix: Prefix


class TaskExplorer:
    """Explores one task; `events` yields what happened in the order in which it is decided."""

    def __init__(self, actor: Actor, method: Method, task: Task, run_seed: int) -> None:
        self._actor = actor
        self._method = method
        self._task = task
        self._seed = run_seed

    async def events(self) -> AsyncGenerator[Event, None]:
        """Explore to the end of the trajectory.

        Yields:
            `Baseline` once per estimate of the bare prefix, `StepRecord` per step, `Discarded` per step
            that saw two weight versions (rule 8), and `TaskEnd` last.

        Raises:
            RROError: a fault of the servers or the environment that outlived its retries.
        """
        prefix = await self._actor.start(self._task)
        held: list[_Drawn] = []
        try:
            step, redraws = 1, 0
            cost = Cost()
            baseline = await self._baseline(prefix, step, cost)
            versions = cost.weight_versions
            yield self._baseline_event(step, baseline, cost)
            while True:
                cost = Cost()
                view, outcome = await self._explore_step(prefix, baseline, step, cost, held)
                seen = versions | cost.weight_versions
                if len(seen) > 1:  # rule 8: one policy version a step
                    await _close(held)
                    yield Discarded(self._task.id, step, tuple(sorted(seen)), cost.usage)
                    redraws += 1
                    if redraws > MAX_REDRAWS:
                        raise ServerError(
                            f"step {step} of task {self._task.id} saw two weight versions {redraws} times"
                            f" ({', '.join(sorted(seen))}); do all servers serve one version?"
                        )
                    cost = Cost()
                    baseline = await self._baseline(prefix, step, cost)
                    versions = cost.weight_versions
                    yield self._baseline_event(step, baseline, cost)
                    continue
                went_on = advance(view, self._method.prefix)
                yield self._record(prefix, view, outcome, went_on, step, next(iter(seen), ""), cost)
                if went_on.observation.outcome is not None:
                    yield TaskEnd(
                        self._task.id, step, went_on.observation.outcome, went_on.observation.truncated
                    )
                    return
                await prefix.episode.close()
                prefix = next(item.prefix for item in held if item.candidate.index == went_on.index)
                held[:] = [item for item in held if item.prefix is not prefix]
                await _close(held)
                baseline, versions, step = went_on.estimate, seen, step + 1
        finally:
            await prefix.episode.close()
            await _close(held)

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
        )

    async def _baseline(self, prefix: Prefix, step: int, cost: Cost) -> Estimate:
        # Keyed under the step before the one it serves: the bare task's is step 0 (rule 1).
        key = DrawKey(self._seed, self._task.id, step=BASELINE_STEP + step - 1)
        return await estimate(self._actor, prefix, self._method.rollouts, key, cost)

    def _baseline_event(self, step: int, baseline: Estimate, cost: Cost) -> Baseline:
        return Baseline(self._task.id, step, baseline, cost.usage, cost.turns)

    async def _explore_step(
        self, prefix: Prefix, baseline: Estimate, step: int, cost: Cost, held: list[_Drawn]
    ) -> tuple[StepView, StepOutcome]:
        """Draw until the method stops. What is drawn goes to `held`, which the caller closes."""
        own: Candidate | None = None
        if self._method.keep_prefix_action:
            item = await self._draw(prefix, step, PREFIX_ACTION, (), cost)
            held.append(item)
            own = item.candidate
        candidates: tuple[Candidate, ...] = ()
        while True:
            view = StepView(baseline, candidates, own)
            decision = self._method.decide(view)
            if isinstance(decision, Stop):
                return view, decision.outcome
            item = await self._draw(prefix, step, len(candidates), candidates, cost)
            held.append(item)
            candidates = (*candidates, item.candidate)

    async def _draw(
        self, prefix: Prefix, step: int, index: int, earlier: tuple[Candidate, ...], cost: Cost
    ) -> _Drawn:
        """One candidate: act, run, estimate (rules 2 and 9)."""
        key = DrawKey(self._seed, self._task.id, step=step, candidate=index)
        episode = await prefix.episode.fork()
        try:
            turn = await self._actor.take_turn(
                episode, prefix.messages, prefix.turns, key.at_turn(prefix.turns + 1), cost
            )
            after = Prefix(self._actor.extend(prefix.messages, turn), episode, prefix.turns + 1)
            twin = next(
                (
                    candidate
                    for candidate in earlier
                    if candidate.action.text == turn.action.text
                    and candidate.observation.text == turn.observation.text
                ),
                None,
            )
            if turn.observation.outcome is not None:
                value = Estimate((turn.observation.outcome,), terminal=True)
            elif twin is not None and not self._method.reestimate_duplicates:
                value = twin.estimate
            else:
                value = await estimate(self._actor, after, self._method.rollouts, key, cost)
        except BaseException:
            await episode.close()
            raise
        candidate = Candidate(
            index=index,
            action=turn.action,
            observation=turn.observation,
            estimate=value,
            duplicate_of=twin.index if twin is not None else None,
        )
        return _Drawn(candidate, after)


async def _close(held: list[_Drawn]) -> None:
    while held:
        await held.pop().prefix.episode.close()
