"""Questions that exist already, such as Spider's: divided into parts, their gold statements as experts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from rro_sdk.envs.intercode_sql.env import InterCodeSQL
from rro_sdk.envs.intercode_sql.experts import expert_script
from rro_sdk.envs.intercode_sql.tasks import together
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.synthesis.experts import Played, Turn, play
from rro_sdk.synthesis.settings import MakingSettings, splits_of
from rro_sdk.synthesis.sql.generate import SplitBy
from rro_sdk.types import Task


class GivenTask(msgspec.Struct, frozen=True):
    """One line of a tasks file. The environment reads the first five fields, `Experts` the last."""

    id: str
    db: str
    query: str
    gold: str
    hardness: str | None
    split: str
    split_by: SplitBy
    expert: tuple[Turn, ...]


@dataclass(frozen=True)
class Given:
    """Tasks in the order of their source, their experts' episodes, and what was left out, by reason."""

    tasks: tuple[GivenTask, ...]
    played: tuple[Played, ...]
    left_out: dict[str, int]


async def with_experts(
    env: InterCodeSQL,
    tasks: Sequence[Task],
    *,
    split: SplitBy,
    fractions: tuple[float, float, float],
    seed: int = 0,
    max_chars: int | None = None,
) -> Given:
    """Play every task's gold statement and divide the tasks whose expert scores 1.

    Args:
        env: where they are played; with `show_schema` the experts do not look at tables.
        tasks: questions with gold statements.
        split: what no two parts share.
        fractions: shares of train, validation and test.
        seed: of the division.
        max_chars: leaves out tasks whose expert episode is longer, all messages together.

    Raises:
        ConfigError: a part is empty, or the settings are wrong.
    """
    settings = MakingSettings(n=max(1, len(tasks)), seed=seed, fractions=fractions, mistakes=0.0)
    kept: list[tuple[Task, tuple[Turn, ...], Played]] = []
    left_out: Counter[str] = Counter()
    for task in tasks:
        try:
            lines = expert_script(task, explore=not env.settings.show_schema)
            script = tuple(Turn(thought, command) for thought, command in lines)
            played = await play(env, task, script)
        except DataError:
            left_out["the gold statement does not score 1 in one episode"] += 1
            continue
        if max_chars is not None and _chars(played) > max_chars:
            left_out["the episode is too long"] += 1
        else:
            kept.append((task, script, played))
    if not kept:
        raise ConfigError("no question is left; " + "; ".join(f"{n} {why}" for why, n in left_out.items()))
    names = splits_of(together([task for task, _, _ in kept], split), settings)
    made = tuple(
        GivenTask(
            task.id,
            str(task.data["db"]),
            task.instruction,
            str(task.data["gold"]),
            task.data.get("hardness"),
            name,
            split,
            script,
        )
        for (task, script, _), name in zip(kept, names, strict=True)
    )
    return Given(made, tuple(played for _, _, played in kept), dict(left_out))


def _chars(played: Played) -> int:
    opening = sum(len(message.content) for message in played.opening)
    return opening + sum(len(step.action.text) + len(step.observation.text) for step in played.steps)
