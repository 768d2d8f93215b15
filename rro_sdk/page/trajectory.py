"""One task, whole: its steps with their candidates, rollouts, verdicts and pairs, from the journal.

Messages are listed once; each step's prefix says which. The replies within rollouts are asked for apart
(`replies_of`), since they are most of the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from rro_sdk.draws import DrawKey
from rro_sdk.errors import ConfigError
from rro_sdk.journal import Journal
from rro_sdk.page.verdict import Standing, verdict_of
from rro_sdk.pairs import pair_id
from rro_sdk.provenance import Drawn
from rro_sdk.recording import RolloutEnd, Turn, place
from rro_sdk.types import Baseline, Candidate, Discarded, Estimate, Message, StepRecord, TaskEnd, TaskFailed

Where = tuple[int, int, int, int]
"""attempt, step, candidate, rollout: under which its replies are recorded."""


class RolloutView(msgspec.Struct, frozen=True):
    """One rollout of an estimate.

    Attributes:
        outcome: in [0, 1].
        where: its replies; None where they are not recorded.
        seed: of its first draw; None where that is not recorded.
        turns: replies.
        tokens: generated.
        truncated: it ended at the step limit.
        fault: of the environment, which ended it.
    """

    outcome: float
    where: Where | None = None
    seed: int | None = None
    turns: int = 0
    tokens: int = 0
    truncated: bool = False
    fault: str | None = None


class EstimateView(msgspec.Struct, frozen=True):
    """A process reward and what it is the mean of.

    Attributes:
        reward: the mean.
        rollouts: in rollout order; of a candidate that ended the episode its own outcome alone.
        planned: rollouts that there would have been without early decision; 0 where that was off.
        terminal: it is the candidate's own outcome.
        interval: 95 % Wilson interval; None for an outcome that is known.
    """

    reward: float
    rollouts: list[RolloutView]
    planned: int = 0
    terminal: bool = False
    interval: tuple[float, float] | None = None


class CandidateView(msgspec.Struct, frozen=True):
    """One candidate.

    Attributes:
        index: in the order of drawing; -1 for the trajectory's own action where that is none of them.
        text: the reply, verbatim.
        command: what the environment got; None where the reply could not be read.
        error: what the agent was told instead.
        observation: the environment's answer.
        done: it ended the episode.
        estimate: its process reward.
        standing: against the prefix, by the run's rule.
        words: the same as a sentence; "" where there is nothing to say.
        marks: `chosen`, `rejected`, `goes on`.
        duplicate_of: the earlier candidate that said the same.
        server: who drew it.
        seed: of its draw.
        rest: the messages after it, where whole trajectories are compared.
    """

    index: int
    text: str
    command: str | None
    error: str | None
    observation: str
    done: bool
    estimate: EstimateView
    standing: Standing
    words: str
    marks: list[str]
    duplicate_of: int | None = None
    server: str = ""
    seed: int | None = None
    rest: tuple[Message, ...] = ()


class StepView(msgspec.Struct, frozen=True):
    """One explored step.

    Attributes:
        step: its number, from 1.
        record: its number within the task, where a search made it.
        path: commands that lead to it, where a search made it.
        prefix: which of the trajectory's messages it was drawn after.
        baseline: process reward of the prefix.
        candidates: in the order of drawing, the trajectory's own action first where it was kept apart.
        outcome: how drawing ended.
        verdict: the same in words.
        pair: the pair, or why there is none, in words.
        pair_id: as in `pairs.jsonl`; None without a pair.
        weight_version: that scored it.
        correlated: its estimates share rollouts with the baseline.
        tokens: generated for it, without the baseline.
    """

    step: int
    record: int | None
    path: tuple[str | None, ...]
    prefix: list[int]
    baseline: EstimateView
    candidates: list[CandidateView]
    outcome: str
    verdict: str
    pair: str
    pair_id: str | None
    weight_version: str
    correlated: bool
    tokens: int


class TrajectoryView(msgspec.Struct, frozen=True):
    """A task as the page shows it.

    Attributes:
        task: its id.
        state: what became of it.
        outcome: of its trajectory; None for one that has not ended.
        why: it was set aside.
        discarded: steps that were thrown away because they saw two weight versions.
        messages: every message of any prefix, once.
        steps: in the order of the journal.
    """

    task: str
    state: str
    outcome: float | None
    why: str
    discarded: int
    messages: list[Message]
    steps: list[StepView]


class ReplyView(msgspec.Struct, frozen=True):
    """One reply within a rollout. What the environment answered is not recorded there."""

    turn: int
    text: str
    command: str | None
    error: str | None
    tokens: int
    server: str
    weight_version: str


def trajectory_of(journal: Journal, task_id: str) -> TrajectoryView:
    """A task of a run, for the page.

    Raises:
        ConfigError: the run has no such task.
        JournalError: the journal is damaged.
    """
    events = list(journal.events_of(task_id))
    if not events and task_id not in journal.begun():
        raise ConfigError(f"run {journal.path.parent} has no task of that id")
    method = journal.header().method
    turns = dict(journal.turns_of(task_id))
    ends = {place(key): end for key, end in journal.rollouts_of(task_id)}
    spent = _spent(turns)
    messages: dict[tuple[str, str], int] = {}
    steps, bare = [], set[tuple[int, int]]()
    state, outcome, why, discarded = "open", None, "", 0
    for event in events:
        match event:
            case Baseline():
                bare.add((event.step, event.attempt))
            case StepRecord():
                steps.append(_step(_Reading(journal, event, turns, ends, spent), event, method, messages))
            case Discarded():
                discarded += 1
            case TaskEnd():
                state, outcome, why = "finished", event.outcome, ""
            case TaskFailed() if state != "finished":
                state, why = "set aside", event.reason
    listed = [Message(role, content) for role, content in messages]  # type: ignore[arg-type]
    return TrajectoryView(task_id, state, outcome, why, discarded, listed, steps)


def replies_of(journal: Journal, task_id: str, where: Where | None = None) -> dict[str, list[ReplyView]]:
    """What was said in rollouts of a task, by `attempt.step.candidate.rollout`.

    Args:
        journal: the run's.
        task_id: the task.
        where: the one rollout; all by default.

    Raises:
        JournalError: the journal is damaged.
    """
    found: dict[str, list[ReplyView]] = {}
    for key, turn in journal.turns_of(task_id):
        if key.rollout < 0 or where not in (None, place(key)):
            continue
        view = ReplyView(
            turn=key.turn,
            text=turn.action.text,
            command=turn.action.command,
            error=turn.action.error,
            tokens=turn.usage.completion_tokens,
            server=turn.server,
            weight_version=", ".join(turn.weight_versions),
        )
        found.setdefault(".".join(map(str, place(key))), []).append(view)
    for replies in found.values():
        replies.sort(key=lambda reply: reply.turn)
    return found


class _Reading:
    """Where the replies and rollouts of one step are."""

    def __init__(
        self,
        journal: Journal,
        record: StepRecord,
        turns: Mapping[DrawKey, Turn],
        ends: Mapping[Where, RolloutEnd],
        spent: Mapping[Where, tuple[int, int]],
    ) -> None:
        self._drawn = Drawn(journal, record, turns)
        self._seed = journal.header().seed
        self._ends = ends
        self._spent = spent
        self._record = record

    def baseline(self) -> EstimateView:
        estimate = self._record.baseline
        keys: list[DrawKey | None] = [
            replace(self._drawn.scored, rollout=number) for number in range(len(estimate.outcomes))
        ]
        return self._view(estimate, keys if self._record.record is None else [], None)

    def candidate(self, candidate: Candidate) -> tuple[EstimateView, str, int | None]:
        """Its estimate, who drew it, and with which seed."""
        story = self._drawn.story(candidate)
        estimate = candidate.estimate
        keys: list[DrawKey | None] = []
        if not estimate.terminal and self._record.record is None:
            keys = [self._drawn.rollout(candidate, number) for number in range(len(estimate.outcomes))]
        return self._view(estimate, keys, story.interval), story.server, story.seed

    def _view(
        self, estimate: Estimate, keys: Sequence[DrawKey | None], interval: tuple[float, float] | None
    ) -> EstimateView:
        padded = [*keys, *[None] * (len(estimate.outcomes) - len(keys))]
        rollouts = [
            self._rollout(outcome, key) for outcome, key in zip(estimate.outcomes, padded, strict=True)
        ]
        return EstimateView(estimate.reward, rollouts, estimate.planned, estimate.terminal, interval)

    def _rollout(self, outcome: float, key: DrawKey | None) -> RolloutView:
        if key is None or (where := place(key)) not in self._spent:
            return RolloutView(outcome)
        end = self._ends.get(where, RolloutEnd(outcome))
        turns, tokens = self._spent[where]
        seed = replace(key, run_seed=self._seed).seed() if key.turn > 1 or key.step == 0 else None
        return RolloutView(outcome, where, seed, turns, tokens, end.truncated, end.fault)


def _step(
    reading: _Reading, record: StepRecord, method: dict[str, object], messages: dict[tuple[str, str], int]
) -> StepView:
    verdict = verdict_of(record, method)
    said = {each.index: judged for each, judged in zip(record.candidates, verdict.candidates, strict=True)}
    candidates = []
    for each in (*filter(None, [record.prefix_action]), *record.candidates):
        estimate, server, seed = reading.candidate(each)
        judged = said.get(each.index)
        candidates.append(
            CandidateView(
                index=each.index,
                text=each.action.text,
                command=each.action.command,
                error=each.action.error,
                observation=each.observation.text,
                done=each.observation.done,
                estimate=estimate,
                standing=judged.standing if judged else "not judged",
                words=judged.words if judged else "Drawn apart: it is not judged.",
                marks=_marks(record, each.index),
                duplicate_of=each.duplicate_of,
                server=server,
                seed=seed,
                rest=each.continuation,
            )
        )
    return StepView(
        step=record.step,
        record=record.record,
        path=record.commands or (),
        prefix=[messages.setdefault((each.role, each.content), len(messages)) for each in record.prefix],
        baseline=reading.baseline(),
        candidates=candidates,
        outcome=record.outcome,
        verdict=verdict.step,
        pair=verdict.pair,
        pair_id=pair_id(record) if record.pair is not None else None,
        weight_version=record.weight_version,
        correlated=record.correlated,
        tokens=record.usage.completion_tokens,
    )


def _marks(record: StepRecord, index: int) -> list[str]:
    marks = []
    if record.pair is not None and index == record.pair.chosen:
        marks.append("chosen")
    if record.pair is not None and index == record.pair.rejected:
        marks.append("rejected")
    if record.record is None and index == record.advance:
        marks.append("goes on")
    return marks


def _spent(turns: Mapping[DrawKey, Turn]) -> dict[Where, tuple[int, int]]:
    """Replies of every rollout, and the tokens that they generated."""
    spent: dict[Where, tuple[int, int]] = {}
    for key, turn in turns.items():
        count, tokens = spent.get(place(key), (0, 0))
        spent[place(key)] = count + 1, tokens + turn.usage.completion_tokens
    return spent
