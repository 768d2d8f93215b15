"""ShareGPT conversations: history and chosen action, for supervised fine-tuning on what was better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rro_sdk.export.base import Context, Format, Row, Sample, chosen_samples, per_pair
from rro_sdk.types import Message, PreferencePair

SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def turns(history: Iterable[Message]) -> list[dict[str, str]]:
    """Messages as ShareGPT writes them: `from` and `value`."""
    return [{"from": SPEAKERS[message.role], "value": message.content} for message in history]


def alternation(sample: Sample) -> str | None:
    """Why a loader of ShareGPT conversations would skip the sample, or None.

    After a system message at the head human and gpt take turns, the human first; the history ends with the
    human.
    """
    roles = [message.role for message in sample.prompt]
    roles = roles[1:] if roles[:1] == ["system"] else roles
    if len(roles) % 2 and all(role == ("user", "assistant")[i % 2] for i, role in enumerate(roles)):
        return None
    return "user and assistant do not take turns in its prompt, and the loader skips such rows"


def _rows(pair: PreferencePair, _context: Context) -> Iterator[Row]:
    yield {
        "conversations": [*turns(pair.prompt), {"from": SPEAKERS["assistant"], "value": pair.chosen}],
        "id": pair.id,
        "task_id": pair.task_id,
        "step": pair.step,
        "reward": pair.chosen_reward,
        "weight_version": pair.weight_version,
    }


FORMAT = Format(
    name="sharegpt",
    title="ShareGPT conversations that end with the chosen action, for SFT",
    usage="""Train on the last turn alone: the turns before it are the history, which may hold worse actions
(LLaMA-Factory: `mask_history: true`).""",
    rows=per_pair(_rows),
    samples=chosen_samples,
    preferences=False,
    problem=alternation,
)
