"""A run as OpenTelemetry spans: task > step > candidate > rollout > completion.

Seen from outside: what explores knows nothing of it. An `Actor` that opens a span around each draw says what
is under way, and the events of a task say what came of it. Without a tracer the sampler uses plain actors, so
tracing costs nothing where it is off.

Attributes hold names, numbers, weight versions and servers' addresses: no prompt, no reply, no observation,
and of an error its class alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import TYPE_CHECKING

from rro_sdk.draws import DrawKey
from rro_sdk.envs.base import Environment, Episode
from rro_sdk.errors import RROError
from rro_sdk.policy import Policy
from rro_sdk.recording import Recorder
from rro_sdk.rollout import Actor, Cost, Prefix, Rolled
from rro_sdk.types import (
    Discarded,
    Event,
    Message,
    Proposal,
    Searched,
    Step,
    StepRecord,
    Task,
    TaskEnd,
)

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Attributes = Mapping[str, str | int]

Place = tuple[int, int]
"""Attempt and step."""


class Tracing:
    """Spans of one sampler's tasks.

    Args:
        tracer: makes the spans; where they go is its provider's affair.
        by_step: whether the method follows one trajectory, so that its draws belong to steps. The nodes of a
            search belong to the task.
    """

    def __init__(self, tracer: Tracer, *, by_step: bool) -> None:
        from opentelemetry import trace

        self._api = trace
        self._tracer = tracer
        self._by_step = by_step
        self._tasks: dict[str, _TaskSpans] = {}

    def actor(
        self, env: Environment, policy: Policy, recorder: Recorder | None, *, score_faults: bool
    ) -> Actor:
        """An actor whose draws have spans."""
        return _TracedActor(self, env, _TracedPolicy(self, policy), recorder, score_faults=score_faults)

    async def task(self, task: Task, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events of a task, in a span of its own; closes them."""
        with self.span("rro.task", None, {"rro.task": task.id}) as span:
            spans = self._tasks[task.id] = _TaskSpans(self, task.id, span, self._by_step)
            try:
                async with aclosing(events):
                    async for event in events:
                        spans.add(event)
                        yield event
            finally:
                spans.end()
                del self._tasks[task.id]

    def above(self, key: DrawKey) -> Span:
        """The span that a draw of a task that is under way belongs to."""
        return self._tasks[key.task_id].above(key)

    def start(self, name: str, above: Span | None, attributes: Attributes) -> Span:
        """Begin a span, below what is current where nothing is given."""
        context = None if above is None else self._api.set_span_in_context(above)
        return self._tracer.start_span(name, context=context, attributes=attributes)

    @contextmanager
    def span(self, name: str, above: Span | None, attributes: Attributes) -> Iterator[Span]:
        """A span around a block. An error marks it with its class alone: its text may quote replies."""
        span = self.start(name, above, attributes)
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            if isinstance(error, RROError):
                span.set_status(self._api.StatusCode.ERROR)
            raise
        finally:
            span.end()

    def within(self, span: Span) -> AbstractContextManager[object]:
        """Make a span current for a block: what begins there, HTTP calls too, is below it."""
        return self._api.use_span(span, record_exception=False, set_status_on_exception=False)


class _TaskSpans:
    """The open spans of one task: its steps and their candidates, by the names of their draws."""

    def __init__(self, tracing: Tracing, task_id: str, span: Span, by_step: bool) -> None:
        self._tracing = tracing
        self._task_id = task_id
        self._span = span
        self._by_step = by_step
        self._next = 1
        self._steps: dict[Place, Span] = {}
        self._candidates: dict[tuple[int, int, int], Span] = {}

    def above(self, key: DrawKey) -> Span:
        """The span that a draw belongs to: its candidate's, or its step's for the rollouts of a baseline."""
        # A baseline is drawn under the step before the one that it serves.
        if self._by_step and key.rollout >= 0 and key.step < self._next:
            return self._step((key.attempt, key.step + 1))
        name = (key.attempt, key.step, key.candidate)
        if name not in self._candidates:
            above = self._step((key.attempt, key.step)) if self._by_step else self._span
            self._candidates[name] = self._tracing.start(
                "rro.candidate",
                above,
                {
                    "rro.task": self._task_id,
                    "rro.attempt": key.attempt,
                    "rro.step": key.step,
                    "rro.candidate": key.candidate,
                },
            )
        return self._candidates[name]

    def add(self, event: Event) -> None:
        """What is decided says what came of its spans, and ends them."""
        match event:
            case StepRecord(record=None):
                self._decided(event)
            case Discarded() if self._by_step:
                self._step((event.attempt, event.step)).set_attribute("rro.outcome", "discarded")
                self._end_step((event.attempt, event.step))
            case Searched():
                self._span.set_attributes({"rro.rollouts": event.rollouts, "rro.records": event.records})
            case TaskEnd():
                self._span.set_attributes({"rro.reward": event.outcome, "rro.steps": event.steps})
            case _:
                pass

    def end(self) -> None:
        """End whatever is open still: the task broke off, or its method searches a tree."""
        for place in tuple(self._steps):
            self._end_step(place)
        for span in self._candidates.values():
            span.end()
        self._candidates.clear()

    def _decided(self, record: StepRecord) -> None:
        place = (record.attempt, record.step)
        for candidate in [*record.candidates, *filter(None, [record.prefix_action])]:
            span = self._candidates.get((*place, candidate.index))
            if span is not None:
                span.set_attributes(
                    {
                        "rro.reward": candidate.reward,
                        "rro.rollouts": len(candidate.estimate.outcomes),
                        "rro.terminal": candidate.estimate.terminal,
                    }
                )
        self._step(place).set_attributes(
            {
                "rro.outcome": record.outcome,
                "rro.baseline": record.baseline.reward,
                "rro.candidates": len(record.candidates),
                "rro.pair": record.pair is not None,
                "rro.weight_version": record.weight_version,
            }
        )
        self._end_step(place)
        self._next = record.step + 1

    def _step(self, place: Place) -> Span:
        if place not in self._steps:
            attempt, step = place
            self._steps[place] = self._tracing.start(
                "rro.step",
                self._span,
                {"rro.task": self._task_id, "rro.attempt": attempt, "rro.step": step},
            )
        return self._steps[place]

    def _end_step(self, place: Place) -> None:
        for name in [name for name in self._candidates if name[:2] == place]:
            self._candidates.pop(name).end()
        self._steps.pop(place).end()


class _TracedActor(Actor):
    """Opens a span around each draw."""

    def __init__(
        self,
        tracing: Tracing,
        env: Environment,
        policy: Policy,
        recorder: Recorder | None,
        *,
        score_faults: bool,
    ) -> None:
        super().__init__(env, policy, recorder, score_faults=score_faults)
        self._tracing = tracing

    async def take_turn(
        self,
        episode: Episode,
        messages: tuple[Message, ...],
        turns: int,
        key: DrawKey,
        cost: Cost,
        hint: tuple[Message, ...] = (),
    ) -> Step:
        if key.rollout >= 0:  # within its rollout's span
            return await super().take_turn(episode, messages, turns, key, cost, hint)
        with self._tracing.within(self._tracing.above(key)):
            return await super().take_turn(episode, messages, turns, key, cost, hint)

    async def outcome(self, prefix: Prefix, key: DrawKey, cost: Cost, *, with_steps: bool = False) -> Rolled:
        names: Attributes = {
            "rro.task": key.task_id,
            "rro.attempt": key.attempt,
            "rro.step": key.step,
            "rro.candidate": key.candidate,
            "rro.rollout": key.rollout,
        }
        with self._tracing.span("rro.rollout", self._tracing.above(key), names) as span:
            with self._tracing.within(span):
                rolled = await super().outcome(prefix, key, cost, with_steps=with_steps)
            span.set_attributes({"rro.reward": rolled.outcome, "rro.truncated": rolled.truncated})
            return rolled


class _TracedPolicy:
    """Opens a span around each completion, below the draw that it is for.

    Names of attributes are OpenTelemetry's own for models where it has one.
    """

    def __init__(self, tracing: Tracing, policy: Policy) -> None:
        self._tracing = tracing
        self._policy = policy

    def open(self, env: Environment, opening: str) -> tuple[Message, ...]:
        return self._policy.open(env, opening)

    def extend(self, messages: tuple[Message, ...], step: Step) -> tuple[Message, ...]:
        return self._policy.extend(messages, step)

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        asked: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.seed": seed,
            "rro.task": affinity,
            "rro.messages": len(messages),
        }
        with self._tracing.span("rro.completion", None, asked) as span, self._tracing.within(span):
            proposal = await self._policy.act(messages, seed=seed, affinity=affinity)
            span.set_attributes(
                {
                    "gen_ai.usage.input_tokens": proposal.usage.prompt_tokens,
                    "gen_ai.usage.output_tokens": proposal.usage.completion_tokens,
                    "gen_ai.usage.cache_read.input_tokens": proposal.usage.cached_tokens,
                    "server.address": proposal.server,
                    "rro.weight_versions": proposal.weight_versions,
                    "rro.readable": proposal.action.command is not None,
                }
            )
            return proposal
