"""How a preference pair came about, from the journal alone, and the way back to where it was drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from rro_sdk.draws import DrawKey
from rro_sdk.envs.base import Environment, Episode
from rro_sdk.errors import ConfigError, Divergence
from rro_sdk.journal import Journal
from rro_sdk.methods.race import scored_as
from rro_sdk.pairs import pair_id as name_of
from rro_sdk.pairs import pair_of
from rro_sdk.recording import Turn
from rro_sdk.stats import wilson_interval
from rro_sdk.types import (
    Action,
    Baseline,
    Candidate,
    Message,
    Observation,
    PairChoice,
    PreferencePair,
    Step,
    StepRecord,
    Task,
)


class CandidateStory(msgspec.Struct, frozen=True):
    """One candidate of the step: what it said, what it is worth and where it was drawn.

    Attributes:
        candidate: as recorded; its estimate holds the outcomes in rollout order.
        seed: seed of its draw; rollouts have seeds of their own. None for an expert's action, and where the
            run does not say.
        rollout_seeds: seed of each rollout's first turn after the candidate; none for one that broke before.
        server: who drew it; "" where the run does not say.
        interval: 95 % Wilson interval of its process reward; None for an outcome that is known.
    """

    candidate: Candidate
    seed: int | None
    rollout_seeds: tuple[int, ...]
    server: str
    interval: tuple[float, float] | None


class Story(msgspec.Struct, frozen=True):
    """How a pair came about.

    Attributes:
        pair: the pair.
        choice: its two candidates.
        record: the step that yielded it.
        candidates: its candidates in the order in which they were drawn, the trajectory's own action first
            where it was kept apart.
        commands: what was done in the environment before the step, in order.
    """

    pair: PreferencePair
    choice: PairChoice
    record: StepRecord
    candidates: tuple[CandidateStory, ...]
    commands: tuple[str | None, ...]


def explain(journal: Journal, pair_id: str) -> Story:
    """The story of one pair.

    Raises:
        ConfigError: the run has no such pair.
        JournalError: the journal is damaged.
    """
    task_id = pair_id.rpartition("/")[0]
    path = [event for event in journal.events_of(task_id) if isinstance(event, StepRecord)]
    record = next((record for record in path if name_of(record) == pair_id), None)
    pair = pair_of(record) if record is not None else None
    if record is None or pair is None or record.pair is None:
        raise ConfigError(f"run {journal.path.parent} has no pair {pair_id}; ids are in its pairs.jsonl")
    drawn = Drawn(journal, record)
    everyone = [*filter(None, [record.prefix_action]), *record.candidates]
    return Story(
        pair=pair,
        choice=record.pair,
        record=record,
        candidates=tuple(drawn.story(candidate) for candidate in everyone),
        commands=record.commands
        if record.commands is not None
        else tuple(
            earlier.candidate(earlier.advance).action.command
            for earlier in path
            if earlier.step < record.step
        ),
    )


def _scored(journal: Journal, record: StepRecord, reestimated: bool) -> DrawKey:
    """Where the rollouts are that scored the prefix: those of the candidate before it, or its own."""
    bare = DrawKey(0, record.task_id, record.step - 1, attempt=record.attempt)
    found = bare
    for event in journal.events_of(record.task_id):
        if isinstance(event, Baseline) and (event.step, event.attempt) == (record.step, record.attempt):
            return bare
        if isinstance(event, StepRecord) and event.step == record.step - 1:
            ahead = event.candidate(event.advance)
            found = replace(bare, candidate=scored_as(ahead, reestimated), attempt=event.attempt)
    return found


class Drawn:
    """A task's recorded replies, and which of them made a step.

    Args:
        journal: the run's.
        record: the step.
        turns: the task's replies where the caller has read them already.

    Attributes:
        scored: under which key the prefix was scored; its rollouts count from 0.
    """

    def __init__(
        self, journal: Journal, record: StepRecord, turns: Mapping[DrawKey, Turn] | None = None
    ) -> None:
        header = journal.header()
        self._record = record
        self._seed = header.seed
        self._reestimates = bool(header.method.get("reestimate_duplicates"))
        self._turns = dict(journal.turns_of(record.task_id)) if turns is None else turns
        self.scored = _scored(journal, record, self._reestimates)

    def story(self, candidate: Candidate) -> CandidateStory:
        """Who drew a candidate, with which seeds, and how sure its reward is."""
        known, outcomes = candidate.estimate.terminal, candidate.estimate.outcomes
        key = self.draw(candidate.index)
        rolled = [self.rollout(candidate, number) for number in range(len(outcomes))] if not known else []
        server = self._turns[key].server if key is not None else ""
        if self._record.record is not None:
            rolled = []
            server = server if self._record.drawn[candidate.index] is not None else "the expert"
        return CandidateStory(
            candidate=candidate,
            seed=None if key is None else self._seed_of(key),
            rollout_seeds=tuple(self._seed_of(each) for each in rolled if each is not None),
            server=server,
            interval=None if known else wilson_interval(sum(outcomes), len(outcomes)),
        )

    def draw(self, index: int) -> DrawKey | None:
        """The reply that a candidate is; None for an expert's, and where the run does not say."""
        record = self._record
        own = DrawKey(0, record.task_id, record.step, index, turn=record.step, attempt=record.attempt)
        if record.record is not None:
            where = record.drawn[index]
            if where is None:  # an expert's
                return None
            step, candidate, rollout = where
            return self._recorded(replace(own, step=step, candidate=candidate, rollout=rollout))
        return self._recorded(own) or self._offer(index, record.step)

    def rollout(self, candidate: Candidate, number: int) -> DrawKey | None:
        """The first reply of a rollout that scored a candidate; None where it broke before it."""
        record = self._record
        index = scored_as(candidate, self._reestimates)
        own = DrawKey(0, record.task_id, record.step, index, number, record.step + 1, record.attempt)
        shared = record.correlated and number == 0
        return self._recorded(own) or (self._offer(index, record.step + 1) if shared else None)

    def _offer(self, index: int, turn: int) -> DrawKey | None:
        """A reply of the rollout that offered a candidate (`Spending.reuse`): it scored the prefix."""
        if index < 0:
            return None
        return self._recorded(replace(self.scored, rollout=index, turn=turn))

    def _recorded(self, key: DrawKey) -> DrawKey | None:
        return key if key in self._turns else None

    def _seed_of(self, key: DrawKey) -> int:
        return replace(key, run_seed=self._seed).seed()


async def replay(
    env: Environment, task: Task, journal: Journal, record: StepRecord
) -> tuple[Episode, list[Step]]:
    """Bring an environment to where a step of the run was explored, or a comparison was made.

    Args:
        env: the run's environment.
        task: the run's task.
        journal: the run's journal.
        record: the step; the episode has taken the turns before it.

    Returns:
        The episode, which the caller closes, and its turns.

    Raises:
        Divergence: the environment answered something else than what is recorded.
    """
    episode = await env.start(task)
    steps: list[Step] = []
    try:
        for action, seen in _way(journal, record):
            if action.command is None:
                observation = Observation(action.error or "") if isinstance(seen, str) else seen
            else:
                observation = await episode.step(action.command)
            same = seen.endswith(observation.text) if isinstance(seen, str) else seen == observation
            if not same:
                raise Divergence(f"task {task.id} replayed to another observation at step {len(steps) + 1}")
            steps.append(Step(action, observation))
    except BaseException:
        await episode.close()
        raise
    return episode, steps


def _way(journal: Journal, record: StepRecord) -> list[tuple[Action, Observation | str]]:
    """The actions before a step, with their observations, or the messages that end with them."""
    if record.commands is not None:
        history = record.prefix[len(record.prefix) - 2 * len(record.commands) :]
        return [
            (Action(said.content, command), seen.content)
            for command, said, seen in zip(record.commands, history[::2], history[1::2], strict=True)
        ]
    earlier = [
        event.candidate(event.advance)
        for event in journal.events_of(record.task_id)
        if isinstance(event, StepRecord) and event.step < record.step
    ]
    return [(each.action, each.observation) for each in earlier]


def text_of(story: Story) -> str:
    """The story as plain text."""
    record, pair = story.record, story.pair
    sides = (("chosen", story.choice.chosen), ("rejected", story.choice.rejected))
    lines = [
        f"pair {pair.id}: step {record.step} of task {record.task_id},"
        f" weight version {record.weight_version or 'unknown'}",
        "",
        *_block("prefix", record.prefix[-1]),
        "",
        f"baseline {_worth(record.baseline.reward, record.baseline.outcomes)}",
    ]
    for told in story.candidates:
        candidate = told.candidate
        marks = [side for side, index in sides if index == candidate.index]
        if candidate.duplicate_of is not None:
            marks.append(f"same as candidate {candidate.duplicate_of}")
        name = f"candidate {candidate.index}" if candidate.index >= 0 else "the trajectory's own action"
        mark = f" ({', '.join(marks)})" if marks else ""
        sure = "known" if told.interval is None else "95 % interval {:.2f} to {:.2f}".format(*told.interval)
        lines += [
            "",
            f"{name}{mark}: {_worth(candidate.reward, candidate.estimate.outcomes)}, {sure}",
            f"  seed {'none' if told.seed is None else told.seed}, server {told.server or 'unknown'}",
            *(f"  | {line}" for line in candidate.action.text.splitlines()),
            *(f"  > {line}" for line in candidate.observation.text.splitlines()[:6]),
        ]
        if told.rollout_seeds:
            lines.append(f"  rollout seeds {' '.join(map(str, told.rollout_seeds))}")
    return "\n".join([*lines, "", f"verdict: {record.outcome} after {len(record.candidates)} candidates"])


def _block(name: str, message: Message) -> list[str]:
    return [
        f"{name} ends with ({message.role}):",
        *(f"  {line}" for line in message.content.splitlines()[-8:]),
    ]


def _worth(reward: float, outcomes: tuple[float, ...]) -> str:
    return f"{reward:.3f} from {len(outcomes)} ({' '.join(f'{outcome:g}' for outcome in outcomes)})"
