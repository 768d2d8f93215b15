"""Ties a run's draws to its journal: replies that are recorded are never asked for again."""

from __future__ import annotations

from collections.abc import Sequence

from rro_sdk.draws import DrawKey
from rro_sdk.errors import Divergence
from rro_sdk.journal.rows import end_row, turn_row
from rro_sdk.journal.writer import JournalWriter
from rro_sdk.recording import RolloutEnd, TaskMemory, Turn, place, prompt_digest
from rro_sdk.types import Message, Proposal


class JournalRecorder:
    """A `Recorder` over a journal.

    Args:
        writer: where new draws go.

    Attributes:
        memories: what is known already of tasks that were begun before, by id. The sampler puts a task's
            memory here when it takes the task up, and takes it away at its end.
    """

    def __init__(self, writer: JournalWriter) -> None:
        self.memories: dict[str, TaskMemory] = {}
        self._writer = writer

    def turn(self, key: DrawKey, messages: Sequence[Message]) -> Turn | None:
        if (memory := self.memories.get(key.task_id)) is None:
            return None
        found = memory.turns.get(place(key), {}).get(key.turn)
        if found is not None and found.prompt != prompt_digest(messages):
            raise Divergence(
                f"task {key.task_id} replayed to another history at step {key.step}, candidate"
                f" {key.candidate}, turn {key.turn}: its environment, data or prompts have changed"
            )
        return found

    async def keep_turn(self, key: DrawKey, messages: Sequence[Message], proposal: Proposal) -> None:
        turn = Turn(
            proposal.action,
            prompt_digest(messages),
            proposal.usage,
            proposal.weight_versions,
            proposal.server,
        )
        self._writer.put(turn_row(key, turn))
        await self._writer.committed()

    def end(self, key: DrawKey) -> tuple[RolloutEnd, list[Turn]] | None:
        memory = self.memories.get(key.task_id)
        if memory is None or (found := memory.rollouts.get(place(key))) is None:
            return None
        turns = memory.turns.get(place(key), {})
        return found, [turns[number] for number in sorted(turns)]

    def keep_end(self, key: DrawKey, end: RolloutEnd) -> None:
        self._writer.put(end_row(key, end))
